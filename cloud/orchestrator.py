"""Answers a call: picks its provider, watches it on a span."""

from dataclasses import replace

import msgspec

from cloud.domain import Answer, Call
from cloud.ports import Provider
from cloud.wire.answers import Documents
from cloud.wire.service.observe import TracedDocuments, Tracing


class Orchestrator:
    """Everything between a parsed request and its answer."""

    def __init__(self, *, provider: Provider, tracing: Tracing) -> None:
        self._provider = provider
        self._tracing = tracing

    async def answer(self, call: Call) -> Answer:
        return Answer(documents=self._documents(call))

    def _documents(self, call: Call) -> Documents:
        """The call's answer, not yet begun: nothing happens until its first document is asked for."""
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.model.provider,
            "gen_ai.request.model": call.model.upstream_name,
            "wayside.tenant": call.tenant,
        }
        if call.session is not None:
            attributes["gen_ai.conversation.id"] = call.session
        if self._tracing.record_content:
            attributes["gen_ai.input.messages"] = msgspec.json.encode(call.request.messages).decode()
        span = self._tracing.start_call(f"chat {call.model.upstream_name}", attributes)
        if span is None:
            return self._provider.complete(call)
        return TracedDocuments(self._provider.complete(replace(call, trace_headers=span.headers)), span)
