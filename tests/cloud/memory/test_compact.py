"""Folding behind everybody's back: killed, doubled or raced, it loses nothing and publishes nothing bad."""

import asyncio
import io
from collections.abc import Sequence

import msgspec
import pytest

from cloud.adapters.tokens import ByteTokens
from cloud.domain_sessions import EXTRACTIVE, Author, Line, NewTurn, State, Summary, Turn
from cloud.memory.assemble import state_cost
from cloud.memory.compact import Compactor
from cloud.memory.fold import FoldPolicy
from cloud.memory.summarize import ExtractiveSummarizer
from cloud.ports import Summarizer, Tokens
from cloud.wire.chat import Message
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.observe import Log
from tests.support.sessions import FakeSessions

pytestmark = pytest.mark.anyio

TOKENS = ByteTokens()
LIMIT = 1500


class Told:
    """A summarizer that says what it is told to, once it is let go."""

    def __init__(self, summary: Summary | Exception) -> None:
        self.summary = summary
        self.begun = asyncio.Event()
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def summarize(
        self, turns: Sequence[Turn], previous: State, *, tenant: str, max_tokens: int, tokens: Tokens
    ) -> Summary:
        self.begun.set()
        await self.let_go.wait()
        if isinstance(self.summary, Exception):
            raise self.summary
        return self.summary


TOLD = Author(by="provider", model="told")
GOOD = Summary(summary=(Line(text="They talked.", seqs=(1, 2)),), written_by=TOLD)
EMPTY = Summary(written_by=TOLD)
LONG = Summary(summary=(Line(text="x" * 5000, seqs=(1,)),), written_by=TOLD)
INVENTED = Summary(summary=(Line(text="They will talk.", seqs=(999,)),), written_by=TOLD)


def compactor(
    store: FakeSessions, summarizer: Summarizer | None = None, *, fallback: Summarizer | None = None
) -> Compactor:
    return Compactor(
        store=store,
        summarizer=summarizer or ExtractiveSummarizer(),
        fallback=fallback or summarizer or ExtractiveSummarizer(),
        tokens_of=lambda _: TOKENS,
        policy=FoldPolicy(),
        log=Log(service="test", out=io.StringIO(), gather_s=0),
        poll_s=0.01,
    )


async def talk(store: FakeSessions, exchanges: int) -> None:
    for number in range(exchanges):
        lease = await store.take("acme", "s", user=None)
        assert lease is not None
        turns = []
        for role, text in (("user", f"Is {number} my number?"), ("assistant", f"Yes, {number} is, surely.")):
            document = msgspec.json.encode({"role": role, "content": text})
            tokens = TOKENS.of_message(msgspec.json.decode(document, type=Message))
            turns.append(
                NewTurn(document=document, tokens=tokens, model="m" if role == "assistant" else None)
            )
        await store.append(lease, turns, user=None, prompt_tokens=0, limit_tokens=LIMIT)


async def test_what_is_due_is_folded_until_it_is_not() -> None:
    store = FakeSessions()
    await talk(store, 30)
    folding = compactor(store)
    while await folding.run_once():
        pass
    window = await store.window("acme", "s")
    assert window.state.version >= 1
    assert [turn.seq for turn in window.turns] == list(range(window.state.covered_through + 1, 61))
    rest = state_cost(window.state, TOKENS) + sum(TOKENS.of_message(turn.message) for turn in window.turns)
    assert rest <= 0.7 * LIMIT
    assert not await folding.fold("acme", "s"), "it rests"


@pytest.mark.parametrize("bad", [EMPTY, LONG, INVENTED, UpstreamUnavailable("away")])
async def test_a_bad_summary_is_never_published_and_the_fallback_is_asked(bad: Summary | Exception) -> None:
    store = FakeSessions()
    await talk(store, 30)
    assert not await compactor(store, Told(bad)).fold("acme", "s")
    assert (await store.window("acme", "s")).state == State()
    assert await compactor(store, Told(bad), fallback=ExtractiveSummarizer()).fold("acme", "s")
    assert (await store.window("acme", "s")).state.written_by == EXTRACTIVE


async def test_turns_that_arrive_while_a_summary_is_written_stay() -> None:
    store = FakeSessions()
    await talk(store, 30)
    slow = Told(GOOD)
    slow.let_go.clear()
    folding = asyncio.create_task(compactor(store, slow).fold("acme", "s"))
    await slow.begun.wait()
    await talk(store, 3)
    slow.let_go.set()
    assert await folding
    window = await store.window("acme", "s")
    assert window.state.written_by == TOLD
    assert [turn.seq for turn in window.turns] == list(range(window.state.covered_through + 1, 67))


async def test_of_two_folds_at_once_one_is_published() -> None:
    store = FakeSessions()
    await talk(store, 30)
    slow = Told(GOOD)
    slow.let_go.clear()
    folding = [asyncio.create_task(compactor(store, slow).fold("acme", "s")) for _ in range(5)]
    await slow.begun.wait()
    slow.let_go.set()
    assert sorted(await asyncio.gather(*folding)) == [False, False, False, False, True]
    assert (await store.window("acme", "s")).state.version == 1


async def test_a_fold_that_was_cut_off_leaves_everything_as_it_was_and_is_done_again() -> None:
    store = FakeSessions()
    await talk(store, 30)
    before = await store.window("acme", "s")
    slow = Told(GOOD)
    slow.let_go.clear()
    folding = asyncio.create_task(compactor(store, slow).fold("acme", "s"))
    await slow.begun.wait()
    folding.cancel()
    await asyncio.gather(folding, return_exceptions=True)
    assert await store.window("acme", "s") == before
    assert await compactor(store).fold("acme", "s")


async def test_the_worker_folds_when_woken_and_outlives_a_store_that_is_away() -> None:
    store = FakeSessions()
    await talk(store, 30)

    class Away(FakeSessions):
        asked = 0

        async def claim_due(self, *, limit: int) -> tuple[tuple[str, str], ...]:
            self.asked += 1
            if self.asked == 1:
                raise UpstreamUnavailable("the store is away")
            return await store.claim_due(limit=limit)

    away = Away()
    away.window, away.publish = store.window, store.publish  # type: ignore[method-assign]
    folding = compactor(away)
    task = asyncio.create_task(folding.run())
    while (await store.window("acme", "s")).state.version == 0:
        folding.wake()
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert away.asked >= 2
