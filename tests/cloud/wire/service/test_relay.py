"""An answer's way to the client: whole, or in events, and never half of one."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from starlette.types import Message

from cloud.wire.errors import InvalidRequest, UpstreamBroken
from cloud.wire.service.observe import Record
from cloud.wire.service.relay import streamed_answer, whole_answer
from tests.support.upstream import chunk, completion

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


class Told:
    """Documents that come, then an end or a fault; remembers being closed."""

    def __init__(self, *documents: Any, fault: BaseException | None = None) -> None:
        self.is_closed = False
        self._documents = self._tell([json.dumps(document).encode() for document in documents], fault)

    async def _tell(self, documents: Sequence[bytes], fault: BaseException | None) -> AsyncGenerator[bytes]:
        for document in documents:
            yield document
        if fault is not None:
            raise fault

    def __aiter__(self) -> "Told":
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._documents)

    async def aclose(self) -> None:
        self.is_closed = True
        await self._documents.aclose()


@pytest.fixture
def record() -> Record:
    return Record(request_id="req_1", method="POST")


async def sent(answer: Any, *, leaves_after: int | None = None) -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        if len(messages) == leaves_after:
            raise asyncio.CancelledError
        messages.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await answer({"type": "http"}, receive, send)
    return messages


def events(messages: list[Message]) -> list[Any]:
    body = b"".join(message["body"] for message in messages[1:])
    *frames, end = body.decode().split("\n\n")
    assert end == ""
    data = [frame.removeprefix("data: ") for frame in frames]
    return [text if text == "[DONE]" else json.loads(text) for text in data]


async def test_a_plain_answer_is_its_document_with_what_was_learned_of_it(record: Record) -> None:
    documents = Told(completion(usage=USAGE))
    answer = await whole_answer(documents, record, {"wayside-route": "cloud"})
    assert (answer.status_code, answer.headers["wayside-route"]) == (200, "cloud")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(bytes(answer.body)) == completion(usage=USAGE)
    assert (record.input_tokens, record.output_tokens) == (3, 4)
    assert record.first_byte_ms is not None
    assert documents.is_closed


@pytest.mark.parametrize("stream", [False, True])
async def test_an_empty_answer_is_a_broken_one(record: Record, stream: bool) -> None:
    documents = Told()
    with pytest.raises(UpstreamBroken, match="empty"):
        await (streamed_answer if stream else whole_answer)(documents, record, {})
    assert documents.is_closed


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_before_the_first_document_keeps_its_status(record: Record, stream: bool) -> None:
    documents = Told(fault=InvalidRequest("no"))
    with pytest.raises(InvalidRequest):
        await (streamed_answer if stream else whole_answer)(documents, record, {})
    assert documents.is_closed


async def test_a_stream_is_its_events_and_done(record: Record) -> None:
    documents = Told(chunk("a"), chunk("b", "stop"), {"choices": [], "usage": USAGE})
    messages = await sent(await streamed_answer(documents, record, {"wayside-route": "cloud"}))
    assert events(messages) == [chunk("a"), chunk("b", "stop"), {"choices": [], "usage": USAGE}, "[DONE]"]
    head = dict(messages[0]["headers"])
    assert head[b"content-type"] == b"text/event-stream"
    assert head[b"cache-control"] == b"no-store"
    assert head[b"wayside-route"] == b"cloud"
    assert b"content-length" not in head
    assert (record.input_tokens, record.output_tokens, record.error) == (3, 4, None)
    assert documents.is_closed


async def test_each_event_is_sent_by_itself(record: Record) -> None:
    messages = await sent(await streamed_answer(Told(chunk("a"), chunk("b")), record, {}))
    assert [message.get("more_body", False) for message in messages] == [False, True, True, False]


async def test_a_fault_in_mid_stream_is_the_last_event_and_there_is_no_done(record: Record) -> None:
    documents = Told(chunk("a"), fault=UpstreamBroken("cut"))
    *_, last = events(await sent(await streamed_answer(documents, record, {})))
    assert last["error"]["code"] == "upstream_broken"
    assert record.error == "upstream_broken"
    assert documents.is_closed


async def test_a_bug_in_mid_stream_leaves_the_stream_without_an_end(record: Record) -> None:
    documents = Told(chunk("a"), fault=ZeroDivisionError())
    answer = await streamed_answer(documents, record, {})
    with pytest.raises(ZeroDivisionError):
        await sent(answer)
    assert documents.is_closed


@pytest.mark.parametrize("leaves_after", [0, 1, 2])
async def test_a_client_that_leaves_closes_the_documents(record: Record, leaves_after: int) -> None:
    documents = Told(chunk("a"), chunk("b"), chunk("c"))
    answer = await streamed_answer(documents, record, {})
    with pytest.raises(asyncio.CancelledError):
        await sent(answer, leaves_after=leaves_after)
    assert documents.is_closed
