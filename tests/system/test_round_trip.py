"""Whatever the API accepts goes through a running edge, there and back, equal in meaning."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.json_values import KEYS, VALUES, requests, same
from tests.support.stack import ask, edge_alone
from tests.support.upstream import Received, answers, chunk, completion, fake_upstream, streams

pytestmark = pytest.mark.anyio

EXAMPLES = settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))


def examples(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """Drawn before the event loop is busy with them, and sent to one edge."""
    drawn: list[Any] = []

    @EXAMPLES
    @given(strategy)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    return drawn


@dataclass(kw_only=True)
class Passage:
    """An edge, the upstream behind it and a client before it."""

    client: httpx.AsyncClient
    script: Any = None
    received: list[Received] = field(default_factory=list)

    async def post(self, document: Any) -> httpx.Response:
        content = json.dumps(document).encode()
        answer = await self.client.post("/v1/chat/completions", content=content)
        assert answer.status_code == 200, (document, answer.text)
        return answer


@asynccontextmanager
async def passage(tmp_path: Path) -> AsyncIterator[Passage]:
    through: Passage

    async def script(request: Received, writer: Any) -> None:
        through.received.append(request)
        await through.script(request, writer)

    async with (
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url, exact_cache_max_bytes=0) as stack,
        stack.http() as client,
    ):
        through = Passage(client=client)
        yield through


async def test_any_request_the_api_accepts_reaches_the_upstream_equal_in_meaning(tmp_path: Path) -> None:
    # JSON numbers have no limit, but Python's own reader has one for digits.
    sent = [document for document in examples(requests()) if document]
    async with passage(tmp_path) as through:
        for document in sent:
            through.script = streams(chunk("a", "stop")) if document.get("stream") else answers(completion())
            await through.post(document)
    assert len(through.received) == len(sent)
    for document, request in zip(sent, through.received, strict=True):
        assert same(json.loads(request.body), document)


EXTRAS = st.dictionaries(KEYS, VALUES, max_size=3)


def told(fields: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document with fields nobody knows at its top, in its choice and in its message."""
    (choice,) = document["choices"]
    inner = "message" if "message" in choice else "delta"
    strange = {
        key: value for key, value in fields.items() if key not in ("error", "usage", "model", "choices")
    }
    apart = {key: value for key, value in fields.items() if key not in choice}
    return strange | document | {"choices": [{**apart, **choice, inner: {**fields, **choice[inner]}}]}


async def test_any_completion_comes_back_equal_in_meaning(tmp_path: Path) -> None:
    answered = [told(fields, completion("hé\u2028llo")) for fields in examples(EXTRAS)]
    async with passage(tmp_path) as through:
        for document in answered:
            through.script = answers(json.dumps(document).encode())
            assert same((await through.post(ask())).json(), document)


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "several lines"])
async def test_any_chunk_comes_back_equal_in_meaning(tmp_path: Path, indent: int | None) -> None:
    chunks = [told(fields, chunk("hé\u2028llo")) for fields in examples(EXTRAS)]
    chunks.append(chunk(finish_reason="stop"))
    events = [json.dumps(document, indent=indent).replace("\n", "\ndata: ").encode() for document in chunks]
    async with passage(tmp_path) as through:
        through.script = streams(*events)
        answer = await through.post(ask(stream=True))
    *came, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    assert len(came) == len(chunks)
    for event, document in zip(came, chunks, strict=True):
        data = "\n".join(line.removeprefix("data: ") for line in event.split("\n"))
        assert same(json.loads(data), document)


NAMES = ["wayside-session", "idempotency-key", "cache-control", "traceparent", "tracestate"]
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_no_header_of_the_client_is_an_internal_error(tmp_path: Path) -> None:
    async with passage(tmp_path) as through:
        through.script = answers(completion())
        for name in NAMES:
            for value in (b"\xe9", b"\xff\xfe", "日本".encode(), b"a\tb"):
                headers = {b"traceparent": PARENT} | {name.encode(): value}
                answer = await through.client.post(
                    "/v1/chat/completions", json=ask(), headers=list(headers.items())
                )
                refused = answer.status_code == 400 and answer.json()["error"]["param"] == name
                assert answer.status_code == 200 or refused, (name, value, answer.text)


async def test_strange_headers_of_the_upstream_do_not_lose_its_answer(tmp_path: Path) -> None:
    async with passage(tmp_path) as through:
        through.script = answers(
            completion(),
            headers={"x-ratelimit-limit": "9", "x-ratelimit-note": "日本", "wayside-session": "é"},
        )
        answer = await through.post(ask())
    assert answer.headers["x-ratelimit-limit"] == "9"
