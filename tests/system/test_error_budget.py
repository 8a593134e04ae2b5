"""The error budget through the whole edge: sampled, held, fallen back, told, and remembered."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.encoder import FakeEncoder
from tests.support.stack import ask, edge_alone
from tests.support.upstream import Received, Script, answers, completion, fake_upstream
from tests.system.test_exact_cache import stored

pytestmark = pytest.mark.anyio

WORDINGS = [
    "What is a monad?", "Please tell me, what is a monad", "what is the monad?", "Hello, what is a monad?",
]  # fmt: skip
ALWAYS = 0.2
"""Five times that while a namespace is young: every hit."""


def says(*texts: str) -> Script:
    """One answer after the other, then the last one again."""
    left = list(texts)

    async def script(request: Received, writer: Any) -> None:
        text = left.pop(0) if len(left) > 1 else left[0]
        await answers(completion(text))(request, writer)

    return script


async def budget(client: httpx.AsyncClient, *, samples: int) -> dict[str, Any]:
    """What `/v1/route` tells of the namespace, once it has so many samples."""
    async with asyncio.timeout(5):
        while True:
            told = (await client.post("/v1/route", json=ask("Who wrote Hamlet?"))).json()["error_budget"]
            if told["samples"] >= samples:
                return dict(told)
            await asyncio.sleep(0.01)


async def test_a_sampled_hit_that_the_upstream_confirms_keeps_the_namespace_open(tmp_path: Path) -> None:
    async with (
        fake_upstream(says("A monoid.")) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder(), cache_shadow_rate=ALWAYS) as stack,
        stack.http() as client,
    ):
        for number, text in enumerate(WORDINGS[:2]):
            answer = await client.post("/v1/chat/completions", json=ask(text))
            assert answer.headers["wayside-route"] == ("cache" if number else "cloud")
            await stored(stack, client)
        told = await budget(client, samples=1)
        assert (told["exact_only"], told["wrong_hit_rate"]) == (False, 0.0)
        assert len(upstream.received) == 2


async def test_a_namespace_whose_hits_are_wrong_falls_back_to_exact_ones_and_stays_so_after_a_restart(
    tmp_path: Path,
) -> None:
    async with (
        fake_upstream(says("A monoid.", "A functor with 2 laws.")) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder(), cache_shadow_rate=ALWAYS) as stack,
        stack.http() as client,
    ):
        for text in WORDINGS[:2]:
            assert (await client.post("/v1/chat/completions", json=ask(text))).status_code == 200
            await stored(stack, client)
        assert (await budget(client, samples=1))["exact_only"]
        refused = await client.post("/v1/chat/completions", json=ask(WORDINGS[2]))
        assert refused.headers["cache-status"] == 'wayside; fwd=miss; detail="refused: error budget"'
        again = await client.post("/v1/chat/completions", json=ask(WORDINGS[0]))
        assert "detail=exact" in again.headers["cache-status"]
        page = (await client.get("/metrics")).text
        assert "wayside_exact_only_namespaces 1.0" in page
        assert 'wayside_shadow_samples_total{outcome="different"}' in page
    async with (
        fake_upstream(says("A functor with 2 laws.")) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        refused = await client.post("/v1/chat/completions", json=ask(WORDINGS[3]))
        assert refused.headers["cache-status"] == 'wayside; fwd=miss; detail="refused: error budget"'


async def test_a_hit_called_wrong_is_dropped_and_counts_against_the_budget(tmp_path: Path) -> None:
    async with (
        fake_upstream(says("A monoid.")) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        assert (await client.post("/v1/chat/completions", json=ask(WORDINGS[0]))).status_code == 200
        await stored(stack, client)
        hit = (await client.post("/v1/chat/completions", json=ask(WORDINGS[1]))).json()
        told = await client.post("/v1/feedback", json={"id": hit["id"], "verdict": "wrong"})
        assert told.json() == {"dropped": 1}
        assert (await budget(client, samples=1))["exact_only"]
