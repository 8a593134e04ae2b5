"""The upstream over HTTP: any OpenAI-compatible service, usually Wayside's cloud."""

import asyncio

from cloud.wire import headers as names
from cloud.wire.errors import UpstreamBroken, UpstreamUnavailable, WaysideError
from cloud.wire.service.client import OpenAiClient
from cloud.wire.service.observe import TracedDocuments, Tracing
from edge.domain import Answer, Principal, Query

_MODELS_TIMEOUT_S = 5.0
_CHECK_TIMEOUT_S = 1.0


class HttpxUpstream:
    """Forwards queries over one `OpenAiClient`."""

    def __init__(self, *, client: OpenAiClient, tracing: Tracing) -> None:
        self._client = client
        self._tracing = tracing

    async def forward(self, query: Query) -> Answer:
        remaining_ms = int((query.deadline - asyncio.get_running_loop().time()) * 1000)
        span = self._tracing.start_call(
            "POST /v1/chat/completions",
            {"gen_ai.operation.name": "chat", "gen_ai.request.model": query.request.model},
        )
        try:
            answer = await self._client.open(
                query.document.body,
                streams=query.request.streams,
                headers={
                    **query.passed_on,
                    **(span.headers if span else {}),
                    names.REQUEST_ID: query.request_id,
                    names.TENANT: query.principal.tenant,
                    names.DEADLINE_MS: str(max(1, remaining_ms)),
                },
                deadline=query.deadline,
            )
        except BaseException as error:
            if span:
                span.stop(error)
            raise
        told = {
            name: value
            for name, value in answer.headers.items()
            if _is_for_the_client(name) and value.isascii()
        }
        return Answer(
            route="cloud", documents=TracedDocuments(answer, span) if span else answer, headers=told
        )

    async def models(self, principal: Principal, request_id: str) -> bytes:
        headers = {names.TENANT: principal.tenant, names.REQUEST_ID: request_id}
        status, body = await self._client.get("/models", headers=headers, timeout_s=_MODELS_TIMEOUT_S)
        if status != 200:
            raise UpstreamBroken(f"the upstream answered with status {status}")
        return body

    async def check(self) -> None:
        """A model list proves the way, the credential and the service at once."""
        try:
            status, _ = await self._client.get("/models", headers={}, timeout_s=_CHECK_TIMEOUT_S)
        except WaysideError as error:
            raise UpstreamUnavailable(error.message) from error
        if status != 200:
            raise UpstreamUnavailable(f"the upstream answered with status {status}")


def _is_for_the_client(name: str) -> bool:
    return name in (names.SESSION, names.CONTEXT) or name.startswith("x-ratelimit-")
