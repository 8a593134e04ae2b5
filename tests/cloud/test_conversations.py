"""Conversations: what is sent on, what is kept, and what never is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from cloud.adapters.tokens import ByteTokens
from cloud.conversations import Conversations, PromptLimits
from cloud.domain import Answer, Call, Episode, RecallQuery
from cloud.domain_sessions import NewTurn
from cloud.memory.render import MEMORY_MARK, STATE_MARK
from cloud.providers.scripted import ScriptedProvider
from cloud.session_leases import Conflict, Leases
from cloud.wire.errors import InvalidRequest, SessionConflict, UpstreamBroken, WaysideError
from tests.support.cloud_calls import call
from tests.support.sessions import FakeSessions

pytestmark = pytest.mark.anyio


class Inner:
    """Answers by script; or breaks off after so many documents, or hangs."""

    def __init__(self, *, breaks_after: int | None = None, hangs: bool = False) -> None:
        self.calls: list[Call] = []
        self.breaks_after = breaks_after
        self.hangs = hangs

    async def answer(self, call: Call) -> Answer:
        self.calls.append(call)
        return Answer(documents=self._documents(call), headers={"x-inner": "1"})

    async def _documents(self, call: Call) -> AsyncGenerator[bytes]:
        count = 0
        async for document in ScriptedProvider(reply="You said: {text}").complete(call):
            if count == self.breaks_after:
                if self.hangs:
                    await asyncio.sleep(60)
                raise UpstreamBroken("cut")
            count += 1
            yield document


class Memory:
    def __init__(self, *episodes: str, error: Exception | None = None) -> None:
        self.episodes = episodes
        self.error = error
        self.asked: list[RecallQuery] = []

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        self.asked.append(query)
        if self.error:
            raise self.error
        return tuple(
            Episode(id=text, text=text, source="s", score=1.0, valid_from=0.0) for text in self.episodes
        )


def conversations(
    store: FakeSessions,
    inner: Inner,
    *,
    recall: Memory | None = None,
    conflict: Conflict = "wait",
    woken: list[tuple[str, str]] | None = None,
) -> Conversations:
    return Conversations(
        inner=inner,
        store=store,
        leases=Leases(store, conflict=conflict, wait_s=0.2, term_s=15),
        recall=recall,
        tokens_of=lambda _: ByteTokens(),
        limits=PromptLimits(
            prompt_tokens=2000, context_tokens=8192, reserve_tokens=0, memory_tokens=400, episodes=3
        ),
        on_append=lambda tenant, session: (woken if woken is not None else []).append((tenant, session)),
    )


def in_session(text: str, session: str | None = "s", **fields: Any) -> Call:
    return replace(call(text, **fields), session=session)


async def say(layer: Conversations, asked: Call) -> tuple[Answer, list[bytes]]:
    answer = await layer.answer(asked)
    return answer, [document async for document in answer.documents]


async def kept(store: FakeSessions, session: str = "s") -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in await store.turns("acme", session)]


def sent(inner: Inner) -> list[str]:
    return [message.text for message in inner.calls[-1].request.messages]


async def test_a_call_without_a_session_passes_untouched() -> None:
    inner = Inner()
    asked = in_session("hi", session=None)
    answer, _ = await say(conversations(FakeSessions(), inner), asked)
    assert inner.calls == [asked]
    assert answer.headers == {"x-inner": "1"}


@pytest.mark.parametrize("stream", [False, True])
async def test_only_the_new_message_is_sent_and_the_rest_is_remembered(stream: bool) -> None:
    store, inner = FakeSessions(), Inner()
    woken: list[tuple[str, str]] = []
    layer = conversations(store, inner, woken=woken)
    for text in ("one", "two"):
        answer, documents = await say(layer, in_session(text, stream=stream, seed=7))
        assert documents
        assert answer.headers["wayside-session"] == "s"
    assert sent(inner) == ["one", "You said: one", "two"]
    assert inner.calls[-1].request.seed == 7
    assert msgspec.json.decode(inner.calls[-1].document.body)["seed"] == 7
    assert await kept(store) == [
        ("user", "one"),
        ("assistant", "You said: one"),
        ("user", "two"),
        ("assistant", "You said: two"),
    ]
    assert woken == [("acme", "s")] * 2


async def test_a_new_session_gets_a_name_of_its_own() -> None:
    layer = conversations(FakeSessions(), Inner())
    names = [(await say(layer, in_session("hi", session="new")))[0].headers["wayside-session"] for _ in "ab"]
    assert len(set(names)) == 2
    assert all(name.startswith("ses_") for name in names)


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 129, "ünï", "../x", "-x", "a/b"])
async def test_a_name_that_would_not_stand_in_a_path_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await conversations(FakeSessions(), Inner()).answer(in_session("hi", session=name))
    assert caught.value.param == "Wayside-Session"


async def test_the_end_is_handed_on_only_once_the_turn_is_kept() -> None:
    store = FakeSessions()
    answer = await conversations(store, Inner()).answer(in_session("hi there", stream=True))
    seen = []
    async for document in answer.documents:
        seen.append(document)
        is_end = b'"finish_reason":"stop"' in document
        assert bool(await kept(store)) == is_end
    assert len(seen) > 3


@pytest.mark.parametrize("breaks_after", [0, 2])
async def test_an_answer_that_fails_keeps_nothing_and_frees_the_session(breaks_after: int) -> None:
    store = FakeSessions()
    with pytest.raises(UpstreamBroken):
        await say(conversations(store, Inner(breaks_after=breaks_after)), in_session("hi", stream=True))
    assert await kept(store) == []
    await say(conversations(store, Inner()), in_session("hi again"))
    assert await kept(store) == [("user", "hi again"), ("assistant", "You said: hi again")]


async def test_a_client_that_leaves_keeps_nothing_and_frees_the_session() -> None:
    store = FakeSessions()
    answer = await conversations(store, Inner(breaks_after=2, hangs=True)).answer(
        in_session("hi", stream=True)
    )
    await anext(answer.documents)
    await answer.documents.aclose()
    unread = await conversations(store, Inner()).answer(in_session("hi"))
    await unread.documents.aclose()
    assert await kept(store) == []
    await say(conversations(store, Inner()), in_session("hi again"))
    assert len(await kept(store)) == 2


async def test_a_prompt_that_cannot_be_built_frees_the_session() -> None:
    store, inner = FakeSessions(), Inner()
    with pytest.raises(InvalidRequest):
        await conversations(store, inner).answer(in_session("x" * 9000))
    assert inner.calls == []
    assert await store.take("acme", "s", user=None) is not None


async def test_a_long_question_and_the_exchange_before_it_are_sent_whole() -> None:
    store, inner = FakeSessions(), Inner()
    layer = conversations(store, inner)
    for text in ("x" * 300, "y" * 2500, "And so?"):
        answer, _ = await say(layer, in_session(text))
    assert [text[:1] for text in sent(inner)][-3:] == ["y", "Y", "A"]
    told = dict(part.split("=") for part in answer.headers["wayside-context"].split("; "))
    assert int(told["prompt"]) <= int(told["limit"]) <= 8192 - 512


async def test_a_full_history_is_context_and_only_what_follows_it_is_new() -> None:
    store, inner = FakeSessions(), Inner()
    layer = conversations(store, inner)
    history = [{"role": "user", "content": "older"}, {"role": "assistant", "content": "older answer"}]
    system = [{"role": "system", "content": "Be brief."}]
    question = [{"role": "user", "content": "first"}]
    await say(layer, in_session("", messages=[*system, *history, *question]))
    assert sent(inner) == ["Be brief.", "older", "older answer", "first"]
    answered = [*question, {"role": "assistant", "content": "You said: first"}]
    follow_up = [{"role": "user", "content": "second"}]
    await say(layer, in_session("", messages=[*system, *history, *answered, *follow_up]))
    assert sent(inner) == ["Be brief.", "older", "older answer", "first", "You said: first", "second"]
    assert [text for _, text in await kept(store)] == [
        "first",
        "You said: first",
        "second",
        "You said: second",
    ]


async def test_what_an_answer_cost_is_kept_with_it_asked_for_or_not() -> None:
    store = FakeSessions()
    for stream in (False, True):
        await say(conversations(store, Inner()), in_session("hi", stream=stream))
    usages = [turn.usage for turn in await store.turns("acme", "s") if turn.role == "assistant"]
    assert all(usage is not None and usage.prompt_tokens and usage.completion_tokens for usage in usages)


async def test_nothing_new_is_refused() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(InvalidRequest):
        await conversations(FakeSessions(), Inner()).answer(in_session("", messages=messages))


async def test_recalled_memories_stand_before_the_question_and_are_never_kept() -> None:
    store, inner = FakeSessions(), Inner()
    memory = Memory("The cat is called Pixel.")
    await say(conversations(store, inner, recall=memory), in_session("Who is Pixel?", user="ada"))
    assert sent(inner)[0].startswith(MEMORY_MARK)
    assert sent(inner)[1] == "Who is Pixel?"
    asked = memory.asked[0]
    assert (asked.tenant, asked.user, asked.session, asked.limit) == ("acme", "ada", "s", 3)
    echoed = [{"role": "user", "content": text} for text in (f"{MEMORY_MARK}]", f"{STATE_MARK}]", "And?")]
    await say(conversations(store, inner), in_session("", messages=echoed))
    assert [text for role, text in await kept(store) if role == "user"] == ["Who is Pixel?", "And?"]


async def test_a_memory_that_fails_costs_the_answer_nothing() -> None:
    inner = Inner()
    memory = Memory(error=WaysideError("away"))
    await say(conversations(FakeSessions(), inner, recall=memory), in_session("hi"))
    assert sent(inner) == ["hi"]


async def test_a_second_turn_waits_for_the_first() -> None:
    store = FakeSessions()
    layer = conversations(store, Inner())
    first = await layer.answer(in_session("one"))
    second = asyncio.create_task(say(layer, in_session("two")))
    await asyncio.sleep(0.02)
    assert not second.done()
    [_ async for _ in first.documents]
    await second
    assert [text for role, text in await kept(store) if role == "user"] == ["one", "two"]


@pytest.mark.parametrize("conflict", ["wait", "refuse"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_turn_that_cannot_wait_longer_or_may_not_is_refused(
    conflict: Conflict, elsewhere: bool
) -> None:
    store = FakeSessions()
    layer = conversations(store, Inner(), conflict=conflict)
    await (conversations(store, Inner()) if elsewhere else layer).answer(in_session("one"))
    with pytest.raises(SessionConflict) as caught:
        await layer.answer(in_session("two"))
    assert (caught.value.status, caught.value.retry_after_s) == (409, 1)


async def test_an_answer_that_comes_after_the_lease_was_lost_is_not_kept_and_not_ended() -> None:
    now = [0.0]
    store = FakeSessions(now=lambda: now[0])
    late = await conversations(store, Inner()).answer(in_session("late"))
    now[0] = 16.0
    await say(conversations(store, Inner()), in_session("other"))
    with pytest.raises(SessionConflict):
        [_ async for _ in late.documents]
    assert [text for role, text in await kept(store) if role == "user"] == ["other"]


async def test_a_clock_that_goes_backwards_neither_locks_nor_reorders() -> None:
    now = [1_000_000.0]
    store = FakeSessions(now=lambda: now[0])
    await say(conversations(store, Inner()), in_session("one"))
    assert await store.take("acme", "s", user=None) is not None
    now[0] = 5.0
    await say(conversations(store, Inner()), in_session("two"))
    turns = await store.turns("acme", "s")
    assert [turn.seq for turn in turns] == [1, 2, 3, 4]
    assert turns[0].created_at > turns[2].created_at


async def test_a_tool_call_and_its_result_are_turns_like_others() -> None:
    store, inner = FakeSessions(), Inner()
    layer = conversations(store, inner)
    lease = await store.take("acme", "s", user=None)
    assert lease is not None
    call_document = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    }
    await store.append(
        lease,
        [
            NewTurn(document=msgspec.json.encode({"role": "user", "content": "look"}), tokens=1),
            NewTurn(document=msgspec.json.encode(call_document), tokens=1, model="m"),
        ],
        user=None,
        prompt_tokens=0,
        limit_tokens=1000,
    )
    result = [{"role": "tool", "tool_call_id": "c1", "content": "42"}]
    await say(layer, in_session("", messages=result))
    assert [message.role for message in inner.calls[-1].request.messages] == ["user", "assistant", "tool"]
    assert [role for role, _ in await kept(store)] == ["user", "assistant", "tool", "assistant"]
