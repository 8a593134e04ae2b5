"""A model writes the minutes: what does not hold against the conversation never gets in."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import msgspec
import pytest

from cloud.adapters.tokens import ByteTokens
from cloud.domain import Call, Model
from cloud.domain_sessions import Author, Line, State
from cloud.gateway.gateway import Gateway
from cloud.gateway.policy import GatewayLimits
from cloud.memory.summarize_by_model import ModelSummarizer
from cloud.ports import Provider
from cloud.wire.answers import Usage
from cloud.wire.errors import InvalidRequest, UpstreamBroken, UpstreamUnavailable, WaysideError
from cloud.wire.service.breaker import BreakerLimits, Breakers
from tests.support.turns import dialogue, texts

pytestmark = pytest.mark.anyio

TURNS = dialogue(
    "My name is Ada and order 7741 is late.", "It left on 14 March.", "Then I will wait.", "Thanks."
)
SAID = "Ada asked about order 7741, which left on 14 March."
USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
GOOD = {"text": SAID, "turns": [1, 2]}


class Writes:
    """A provider that answers with what it is given."""

    def __init__(self, content: Any, *, finish_reason: str = "stop") -> None:
        self.content = content if isinstance(content, str) else msgspec.json.encode(content).decode()
        self.finish_reason = finish_reason
        self.calls: list[Call] = []

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        self.calls.append(call)
        message = {"role": "assistant", "content": self.content}
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        yield msgspec.json.encode({"choices": [choice], "model": "writer-v2", "usage": USAGE})

    async def check(self) -> None:
        """Always there."""


class FailsOnce(Writes):
    """Away for the first call."""

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        if not self.calls:
            self.calls.append(call)
            raise UpstreamUnavailable("away")
        async for document in super().complete(call):
            yield document


def summarizer(provider: Provider, *, context_tokens: int = 8192) -> ModelSummarizer:
    return ModelSummarizer(
        provider=provider,
        model=Model(name="writer", provider="p", upstream_name="writer"),
        tokens=ByteTokens(),
        context_tokens=context_tokens,
    )


async def test_the_models_minutes_stand_beside_the_facts_found_by_rule() -> None:
    task = {"text": "Ada waits for order 7741.", "turns": [3]}
    provider = Writes({"summary": [GOOD], "open_tasks": [task]})
    summary = await summarizer(provider).summarize(
        TURNS, State(), tenant="acme", max_tokens=2000, tokens=ByteTokens()
    )
    assert summary.summary == (Line(text=SAID, seqs=(1, 2)),)
    assert [line.text for line in summary.open_tasks] == ["Ada waits for order 7741."]
    assert any("Ada" in line.text for line in summary.facts)
    assert summary.written_by == Author(
        by="provider",
        provider="p",
        model="writer",
        answered_as="writer-v2",
        usage=Usage(prompt_tokens=120, completion_tokens=30, total_tokens=150),
    )
    call = provider.calls[0]
    assert call.tenant == "acme", "who pays"
    asked = call.request.messages[-1].text
    assert all(text in asked for text in texts(TURNS))


@pytest.mark.parametrize(
    "line",
    [
        {"text": "Ada's order 9999 is late.", "turns": [1]},
        {"text": "They met on 15 March.", "turns": [2]},
        {"text": "Ada waits.", "turns": [99]},
        {"text": "Ada waits.", "turns": []},
        {"text": "  ", "turns": [1]},
    ],
)
async def test_a_line_with_a_number_or_a_turn_that_was_not_there_is_dropped(line: dict[str, Any]) -> None:
    provider = Writes({"summary": [line, GOOD], "open_tasks": [line]})
    summary = await summarizer(provider).summarize(
        TURNS, State(), tenant="acme", max_tokens=2000, tokens=ByteTokens()
    )
    assert [kept.text for kept in (*summary.summary, *summary.open_tasks)] == [SAID]


@pytest.mark.parametrize(
    ("provider", "error"),
    [
        (Writes({"summary": [], "open_tasks": []}), UpstreamBroken),
        (Writes("not JSON"), UpstreamBroken),
        (Writes({"summary": "text"}), UpstreamBroken),
        (Writes({"summary": [GOOD], "open_tasks": []}, finish_reason="length"), UpstreamBroken),
    ],
)
async def test_minutes_that_are_empty_cut_or_of_another_shape_are_refused(
    provider: Writes, error: type[WaysideError]
) -> None:
    with pytest.raises(error):
        await summarizer(provider).summarize(
            TURNS, State(), tenant="acme", max_tokens=2000, tokens=ByteTokens()
        )


async def test_turns_that_its_model_cannot_read_are_not_sent() -> None:
    provider = Writes({"summary": [GOOD], "open_tasks": []})
    with pytest.raises(InvalidRequest):
        await summarizer(provider, context_tokens=1000).summarize(
            TURNS, State(), tenant="acme", max_tokens=500, tokens=ByteTokens()
        )
    assert provider.calls == []


async def test_a_provider_that_fails_once_is_asked_again_through_the_gateway() -> None:
    provider = FailsOnce({"summary": [GOOD], "open_tasks": []})
    writer = Model(name="writer", provider="p", upstream_name="writer")
    noted: dict[str, Mapping[str, str]] = {}
    gateway = Gateway(
        providers={"p": provider},
        models=(writer,),
        breakers=Breakers(BreakerLimits()),
        limits=GatewayLimits(first_wait_s=0.001),
        patience_s=1.0,
        note=noted.__setitem__,
    )
    summary = await summarizer(gateway).summarize(
        TURNS, State(), tenant="acme", max_tokens=2000, tokens=ByteTokens()
    )
    assert summary.written_by.model == "writer"
    assert len(provider.calls) == 2
    assert noted["retry"]["model"] == "writer"
