"""Asked again to the letter, the edge answers by itself: over real sockets, through a real disk."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.support.stack import Stack, ask, edge_alone
from tests.support.upstream import (
    FakeUpstream,
    answers,
    by_request,
    chunk,
    completion,
    fake_upstream,
    streams,
)

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
STREAM = streams(chunk("Hel"), chunk("lo"), chunk(finish_reason="stop"), chunk(usage=USAGE) | {"choices": []})
BOTH = by_request(answers(completion()), STREAM)


async def asked(client: httpx.AsyncClient, body: dict[str, Any], **headers: str) -> httpx.Response:
    response = await client.post("/v1/chat/completions", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response


async def stored(stack: Stack, client: httpx.AsyncClient, *, answers: int = 1) -> None:
    """Return when the edge has kept so many answers, or refused them."""
    async with asyncio.timeout(5):
        while True:
            page = (await client.get("/metrics")).text
            lines = [line for line in page.splitlines() if line.startswith("wayside_cache_stores_total")]
            if sum(float(line.rpartition(" ")[2]) for line in lines) >= answers:
                return
            await asyncio.sleep(0.01)


def text_of(response: httpx.Response) -> str:
    if response.headers["content-type"].startswith("application/json"):
        return str(response.json()["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert events.pop() == "[DONE]"
    documents = [msgspec.json.decode(event) for event in events]
    return "".join(c["delta"].get("content") or "" for d in documents for c in d["choices"])


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("again", [False, True])
async def test_a_request_seen_before_is_answered_at_the_edge(
    tmp_path: Path, first: bool, again: bool
) -> None:
    async with (
        fake_upstream(BOTH) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        one = await asked(client, ask(stream=first))
        await stored(stack, client)
        two = await asked(client, ask(stream=again))
        metrics = (await client.get("/metrics")).text
    assert len(upstream.received) == 1
    assert (one.headers["wayside-route"], two.headers["wayside-route"]) == ("cloud", "cache")
    assert one.headers["cache-status"].startswith("wayside; fwd=miss")
    assert two.headers["cache-status"].startswith("wayside; hit; ttl=86")
    assert two.headers["cache-status"].endswith("; detail=exact")
    assert two.headers["age"] == "0"
    assert "exact;dur=" in two.headers["server-timing"]
    assert text_of(two) == "Hello"
    assert "chatcmpl-1" not in two.text
    assert '"origin":"exact"' in two.text
    assert 'wayside_cache_hits_total{kind="exact"} 1.0' in metrics
    assert 'wayside_saved_tokens_total{direction="output",kind="exact"} 2.0' in metrics


async def test_directives_in_several_header_fields_are_one_list(tmp_path: Path) -> None:
    async with (
        fake_upstream(BOTH) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        await asked(client, ask())
        await stored(stack, client)
        several = [("cache-control", "max-age=60"), ("Cache-Control", "no-cache")]
        again = await client.post("/v1/chat/completions", json=ask(), headers=several)
    assert again.headers["wayside-route"] == "cloud"
    assert again.headers["cache-status"].startswith("wayside; fwd=request")


async def test_a_stream_without_usage_does_not_answer_who_is_owed_usage(tmp_path: Path) -> None:
    script = by_request(answers(completion()), streams(chunk("Hello"), chunk(finish_reason="stop")))
    async with (
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        await asked(client, ask(stream=True))
        await stored(stack, client)
        assert (await asked(client, ask(stream=True))).headers["wayside-route"] == "cache"
        whole = await asked(client, ask())
        assert whole.headers["wayside-route"] == "cloud"
        await stored(stack, client, answers=2)
        again = await asked(client, ask())
    assert again.json()["usage"] == USAGE
    assert len(upstream.received) == 2


@pytest.mark.parametrize(
    "script",
    [
        answers(completion(choices=[completion()["choices"][0] | {"finish_reason": "length"}])),
        answers({"error": {"message": "no"}}, status=400),
        answers(completion("")),
    ],
)
async def test_what_is_no_whole_success_is_never_stored(tmp_path: Path, script: Any) -> None:
    async with (
        fake_upstream(script) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        for _ in range(2):
            await client.post("/v1/chat/completions", json=ask())
            await asyncio.sleep(0.05)
    assert len(upstream.received) == 2


async def test_a_cut_stream_is_never_stored(tmp_path: Path) -> None:
    async with (
        fake_upstream(streams(chunk("Hel"), done=False, then="cut")) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        for _ in range(2):
            await asked(client, ask(stream=True))
            await asyncio.sleep(0.05)
    assert len(upstream.received) == 2


async def count_after(
    tmp_path: Path, body: dict[str, Any], *requests: dict[str, str]
) -> tuple[FakeUpstream, list[httpx.Response]]:
    async with (
        fake_upstream(BOTH) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        responses = []
        for headers in requests:
            responses.append(await client.post("/v1/chat/completions", json=body, headers=headers))
            await asyncio.sleep(0.05)
    return upstream, responses


@pytest.mark.parametrize(
    ("again", "calls", "status"),
    [
        ({"cache-control": "no-cache"}, 2, "wayside; fwd=request"),
        ({"cache-control": "max-age=0"}, 2, "wayside; fwd=request"),
        ({"cache-control": "max-age=600"}, 1, "wayside; hit"),
        ({"cache-control": "min-fresh=999999"}, 2, "wayside; fwd=request"),
        ({"cache-control": "no-store"}, 2, 'wayside; fwd=bypass; detail="no-store"'),
        ({"wayside-session": "s-1"}, 2, 'wayside; fwd=bypass; detail="session"'),
    ],
)
async def test_the_client_has_its_say(tmp_path: Path, again: dict[str, str], calls: int, status: str) -> None:
    upstream, responses = await count_after(tmp_path, ask(), {}, again)
    assert len(upstream.received) == calls
    assert responses[1].headers["cache-status"].startswith(status)


async def test_only_if_cached_never_goes_on(tmp_path: Path) -> None:
    only = {"cache-control": "only-if-cached"}
    upstream, responses = await count_after(tmp_path, ask(), only, {}, only)
    assert [response.status_code for response in responses] == [504, 200, 200]
    assert responses[0].json()["error"]["code"] == "only_if_cached"
    assert len(upstream.received) == 1


async def test_a_stored_answer_survives_a_restart_of_the_edge(tmp_path: Path) -> None:
    for route in ("cloud", "cache"):
        _, responses = await count_after(tmp_path, ask(), {})
        assert responses[0].headers["wayside-route"] == route


async def test_a_cache_that_is_switched_off_keeps_nothing(tmp_path: Path) -> None:
    async with (
        fake_upstream(BOTH) as upstream,
        edge_alone(tmp_path, upstream.url, exact_cache_max_bytes=0) as stack,
        stack.http() as client,
    ):
        for _ in range(2):
            await asked(client, ask())
            await asyncio.sleep(0.05)
    assert len(upstream.received) == 2
    assert "exact" not in {path.name for path in tmp_path.iterdir()}
