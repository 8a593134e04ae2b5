"""Plain questions about a table are computed; everything else goes to whoever answers next."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cloud.domain import Answer, Call
from cloud.plain_answering import PlainAnswering
from cloud.tools.plain_answers import PlainAnswers
from cloud.tools.sandbox import open_sandbox
from cloud.tools.workspace import Workspace
from cloud.wire.answers import Chunk, Completion, Ready, collect
from tests.support.cloud_calls import call
from tests.support.tools import SALES

pytestmark = pytest.mark.anyio

QUESTION = f"What is the total revenue in March?\n\n{SALES}"


class Next:
    """The next layer: says that it was asked."""

    async def answer(self, call: Call) -> Answer:
        return Answer(documents=Ready([b"next"]))


@pytest.fixture
async def answering(tmp_path: Path) -> AsyncIterator[PlainAnswering]:
    async with open_sandbox(tmp_path, processes=1) as sandbox:
        yield PlainAnswering(inner=Next(), plain=PlainAnswers(Workspace(sandbox)))


async def documents(answering: PlainAnswering, asked: Call) -> list[bytes]:
    return [document async for document in (await answering.answer(asked)).documents]


async def test_the_number_comes_as_a_completion_or_as_chunks(answering: PlainAnswering) -> None:
    (document,) = await documents(answering, call(QUESTION, model="auto"))
    whole = msgspec.json.decode(document, type=Completion)
    assert whole.choices[0].finish_reason == "stop"
    assert "**47.5**" in (whole.choices[0].message.content or "")
    chunks = await documents(answering, call(QUESTION, model="auto", stream=True))
    streamed = collect([msgspec.json.decode(chunk, type=Chunk) for chunk in chunks])
    assert streamed.choices == whole.choices


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "ours"},
        {"model": "auto", "max_tokens": 5},
        {"model": "auto", "n": 2},
        {"model": "auto", "response_format": {"type": "json_object"}},
        {"model": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        {
            "model": "auto",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
        },
        {"model": "auto", "messages": [{"role": "user", "content": "Why did revenue fall?\n" + SALES}]},
        {"model": "auto", "messages": [{"role": "user", "content": "hi"}]},
    ],
)
async def test_other_calls_go_on_untouched(answering: PlainAnswering, fields: dict[str, Any]) -> None:
    assert await documents(answering, call(QUESTION, **fields)) == [b"next"]


async def test_the_agent_that_was_asked_for_decides(answering: PlainAnswering) -> None:
    assert await documents(answering, replace(call(QUESTION, model="auto"), agent="chat")) == [b"next"]
    assert await documents(answering, replace(call(QUESTION), agent="analysis")) != [b"next"]
