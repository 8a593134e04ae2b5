"""Answers a call: one call to a model where that is all, else a run of an agent with its tools.

1  the agent that takes the call first
2  plain: its model's answer, relayed as it comes
3  anything else: a run (`run_loop.py`), started durably, waited for or left in the background
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from cloud.agents.agent import Agent
from cloud.agents.roster import DATA_ANALYSIS, Roster
from cloud.catalog import Catalog
from cloud.domain import Answer, Call
from cloud.domain_runs import RunEnd, RunSpec, error_of, run_id
from cloud.ports import Provider, Runs
from cloud.run_steps import instructed, modelled, traced_documents, with_body
from cloud.run_view import shown
from cloud.tools.tables import find_tables
from cloud.wire import headers as names
from cloud.wire.answers import AnswerMessage, Choice, Completion, Ready, as_chunks
from cloud.wire.chat import AUTO
from cloud.wire.service.observe import Tracing


class Orchestrator:
    """Everything between a parsed request and its answer."""

    def __init__(
        self,
        *,
        provider: Provider,
        catalog: Catalog,
        roster: Roster,
        runs: Runs,
        tracing: Tracing,
        background_s: float,
    ) -> None:
        """`background_s`: how long a run that nobody waits for may take."""
        self._provider = provider
        self._catalog = catalog
        self._roster = roster
        self._runs = runs
        self._tracing = tracing
        self._background_s = background_s

    async def answer(self, call: Call) -> Answer:
        agent = self._roster.first(_read(call))
        prepared = modelled(agent, call, self._catalog)
        if call.is_background:
            return await self._begun(self._spec(agent, call))
        if agent.is_plain or not prepared.model.uses_tools:
            if agent.instructions:
                body = msgspec.json.decode(call.document.body)
                prepared = with_body(prepared, {**body, "messages": instructed(agent, body["messages"])})
            documents = traced_documents(self._provider, self._tracing, replace(prepared, agent=agent.name))
            return Answer(documents=documents, headers=_named(agent))
        spec = self._spec(agent, call)
        return Answer(documents=_Later(self._run(spec, call)), headers={**_named(agent), names.RUN: spec.id})

    async def _begun(self, spec: RunSpec) -> Answer:
        """RFC 7240: the preference is applied, and the run has a URL of its own."""
        await self._runs.start(spec)
        run = await self._runs.find(spec.tenant, spec.id)
        headers = {
            "location": f"/v1/runs/{spec.id}",
            "preference-applied": "respond-async",
            names.RUN: spec.id,
        }
        return Answer(documents=Ready([msgspec.json.encode(shown(run))]), headers=headers)

    async def _run(self, spec: RunSpec, call: Call) -> list[bytes]:
        await self._runs.start(spec)
        try:
            end = await self._runs.end(spec.id)
        except asyncio.CancelledError:
            # Whoever left without a key to come back with does not want it any more.
            if call.idempotency_key is None:
                await asyncio.shield(self._runs.cancel(spec.tenant, spec.id))
            raise
        if end.failure is not None:
            raise error_of(end.failure)
        completion = msgspec.json.encode(completion_of(spec, end))
        if not call.request.streams:
            return [completion]
        return as_chunks(completion, with_usage=call.request.streams_usage)

    def _spec(self, agent: Agent, call: Call) -> RunSpec:
        now = time.time()
        left = self._background_s if call.is_background else call.remaining_s()
        return RunSpec(
            id=call.run or run_id(call.tenant, call.user),
            tenant=call.tenant,
            agent=agent.name,
            model=call.model.name,
            body=call.document.body.decode(),
            request_id=call.request_id,
            created_at=now,
            deadline_at=now + left,
            user=call.user,
            session=call.session,
            is_background=call.is_background,
        )


class _Later:
    """Documents of work that begins when the first is asked for, and ends with the one who asks."""

    def __init__(self, work: Coroutine[Any, Any, list[bytes]]) -> None:
        self._work = work
        self._ready: Ready | None = None

    def __aiter__(self) -> "_Later":
        return self

    async def __anext__(self) -> bytes:
        if self._ready is None:
            self._ready = Ready(await self._work)
        return await anext(self._ready)

    async def aclose(self) -> None:
        if self._ready is None:
            self._work.close()


def completion_of(spec: RunSpec, end: RunEnd) -> Completion:
    """A run's end as the chat completion it answers with."""
    return Completion(
        id=f"chatcmpl-{spec.request_id}",
        created=int(time.time()),
        model=spec.model,
        choices=[Choice(message=AnswerMessage(content=end.text), finish_reason=end.finish_reason)],
        usage=end.usage,
    )


def _read(call: Call) -> Call:
    """The call with an intent: where nobody read one and nobody was asked for, a table says what it is."""
    request = call.request
    if call.agent is not None or call.intent is not None or request.model != AUTO:
        return call
    if any(message.role in ("system", "developer") for message in request.messages):
        return call
    return replace(call, intent=DATA_ANALYSIS) if find_tables(request.messages[-1:]).tables else call


def _named(agent: Agent) -> Mapping[str, str]:
    return {} if agent.is_plain and not agent.instructions else {names.AGENT: agent.name}
