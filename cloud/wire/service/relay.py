"""Sends an answer's documents to the client, as events or as one body, and never half of one."""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cloud.wire import sse
from cloud.wire.answers import Documents, usage_of
from cloud.wire.errors import UpstreamBroken, WaysideError, envelope
from cloud.wire.service.observe import Record


async def whole_answer(documents: Documents, record: Record, headers: Mapping[str, str]) -> Response:
    """The one document of a plain answer."""
    try:
        document = await _first(documents, record)
    finally:
        await documents.aclose()
    return Response(document, 200, headers, media_type="application/json")


async def streamed_answer(documents: Documents, record: Record, headers: Mapping[str, str]) -> "EventStream":
    """A response whose first event is already here: what fails before it still gets a status."""
    try:
        first = await _first(documents, record)
    except BaseException:
        await documents.aclose()
        raise
    return EventStream(first, documents, record, headers)


async def _first(documents: Documents, record: Record) -> bytes:
    try:
        document = await anext(documents)
    except StopAsyncIteration:
        raise UpstreamBroken("the answer is empty") from None
    record.first_byte_ms = record.elapsed_ms()
    if record.output_tokens is None:  # else they were known before
        note_usage(document, record)
    return document


class EventStream(Response):
    """A streamed answer. A fault after the first event becomes an error event, never a `[DONE]`."""

    def __init__(
        self, first: bytes, documents: Documents, record: Record, headers: Mapping[str, str]
    ) -> None:
        self._first = first
        self._documents = documents
        self._record = record
        self.status_code = 200
        self.background = None
        # Proxies on the way must neither store nor gather the events.
        self.init_headers(
            {
                "content-type": sse.MEDIA_TYPE,
                "cache-control": "no-store",
                "x-accel-buffering": "no",
                **headers,
            }
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": sse.frame(self._first), "more_body": True})
            try:
                async for document in self._documents:
                    note_usage(document, self._record)
                    await send({"type": "http.response.body", "body": sse.frame(document), "more_body": True})
                last = sse.frame(sse.DONE)
            except WaysideError as error:
                self._record.error = error.code or error.type
                last = sse.frame(envelope(error))
            await send({"type": "http.response.body", "body": last})
        finally:
            await self._documents.aclose()


def note_usage(document: bytes, record: Record) -> None:
    """Keep the token counts that an answer carries."""
    record.used(usage_of(document))
