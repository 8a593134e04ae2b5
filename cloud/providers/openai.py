"""An OpenAI-compatible service as a provider: fields we do not know go there and come back."""

from collections.abc import AsyncGenerator

from cloud.domain import Call
from cloud.wire import headers as names
from cloud.wire.errors import UpstreamUnavailable, WaysideError
from cloud.wire.service.client import OpenAiClient

_CHECK_TIMEOUT_S = 2.0


class OpenAiProvider:
    """OpenAI, vLLM, Ollama, llama.cpp and everything else that speaks their API."""

    def __init__(self, *, client: OpenAiClient) -> None:
        self._client = client

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        answer = await self._client.open(
            call.document.with_model(call.model.upstream_name),
            streams=call.request.streams,
            headers={**call.trace_headers, names.REQUEST_ID: call.request_id},
            deadline=call.deadline,
        )
        try:
            async for document in answer:
                yield document
        finally:
            await answer.aclose()

    async def check(self) -> None:
        try:
            status, _ = await self._client.get("/models", headers={}, timeout_s=_CHECK_TIMEOUT_S)
        except WaysideError as error:
            raise UpstreamUnavailable(error.message) from error
        if status in (401, 403) or status >= 500:
            raise UpstreamUnavailable(f"it answered with status {status}")
