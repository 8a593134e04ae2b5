"""The edge with the bundle it ships: it reads each request once, and says what it read."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.adapters.bundle_follower import follow_bundle
from edge.adapters.onnx_encoder import OnnxEncoder
from edge.settings import EdgeSettings
from tests.support.stack import Stack, ask, edge_alone, running
from tests.support.upstream import FakeUpstream, answers, completion, fake_upstream

pytestmark = pytest.mark.anyio

SHIPPED = EdgeSettings().bundle_path


@asynccontextmanager
async def reading(tmp_path: Path) -> AsyncIterator[tuple[Stack, FakeUpstream, OnnxEncoder]]:
    encoder = OnnxEncoder.open(SHIPPED)
    try:
        async with (
            fake_upstream(answers(completion("Paris."))) as upstream,
            edge_alone(tmp_path, upstream.url, encoder=encoder) as stack,
        ):
            yield stack, upstream, encoder
    finally:
        encoder.close()


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("What is the capital of Australia?", "factual_qa"),
        ("Write a short poem about the sea in autumn.", "writing"),
        ("hi, how are you today?", "smalltalk"),
        ("My Python script fails with `KeyError: 'id'` in a for loop. How do I fix it?", "coding"),
    ],
)
async def test_the_intent_is_told_to_the_client_and_to_the_cloud(
    tmp_path: Path, text: str, intent: str
) -> None:
    async with reading(tmp_path) as (stack, upstream, _), stack.http() as client:
        answer = await client.post("/v1/chat/completions", json=ask(text))
    assert answer.headers["wayside-intent"] == intent
    assert 0 < float(answer.headers["wayside-confidence"]) <= 1
    assert upstream.received[0].headers["wayside-intent"] == intent
    assert 0 <= float(upstream.received[0].headers["wayside-complexity"]) <= 1


async def test_a_request_is_read_in_one_pass_and_a_repeated_one_in_none(tmp_path: Path) -> None:
    async with reading(tmp_path) as (stack, upstream, encoder), stack.http() as client:
        before = encoder.passes
        await client.post("/v1/chat/completions", json=ask("What is the capital of France?"))
        assert encoder.passes == before + 1
        await asyncio.sleep(0.2)  # the answer is stored behind the client's back
        again = await client.post("/v1/chat/completions", json=ask("What is the capital of France?"))
        assert encoder.passes == before + 1
    assert again.headers["wayside-route"] == "cache"
    assert len(upstream.received) == 1


async def test_the_opposite_question_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with reading(tmp_path) as (stack, upstream, _), stack.http() as client:
        await client.post("/v1/chat/completions", json=ask("Is Paris the capital of France?"))
        await asyncio.sleep(0.2)
        answer = await client.post("/v1/chat/completions", json=ask("Is Paris not the capital of France?"))
    assert answer.headers["wayside-route"] == "cloud"
    assert "refused: negation" in answer.headers["cache-status"]
    assert len(upstream.received) == 2


async def test_the_shipped_bundle_is_what_an_edge_starts_with(tmp_path: Path) -> None:
    async with running(tmp_path, edge_settings={"use_models": True}) as stack, stack.http() as client:
        answer = await client.post("/v1/chat/completions", json=ask("Translate 'good morning' into French."))
    assert answer.headers["wayside-intent"] == "text_transform"


async def test_a_bundle_replaced_on_disk_is_served_and_a_broken_one_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED, folder)
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    encoder = OnnxEncoder.open(folder)
    served = encoder.identity
    following = asyncio.create_task(
        follow_bundle(encoder, folder, told=lambda refusal, _: heard.put_nowait(refusal), recheck_s=0.05)
    )
    try:
        await asyncio.sleep(0.1)
        manifest = folder / "bundle.json"
        manifest.write_bytes(manifest.read_bytes().replace(b'"name"', b'"nome"'))
        async with asyncio.timeout(10):
            assert await heard.get() is not None
        assert (await encoder.encode("hello")).bundle == served
        shutil.copy(SHIPPED / "bundle.json", manifest)
        async with asyncio.timeout(10):
            assert await heard.get() is None
        assert (await encoder.encode("hello")).bundle == served
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        encoder.close()
