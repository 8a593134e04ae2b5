"""The session ports, over the fake and both databases."""

from collections.abc import AsyncIterator

import anyio
import msgspec
import pytest

from cloud.adapters.database import open_database
from cloud.domain_sessions import EXTRACTIVE, Lease, Line, NewTurn, State
from cloud.wire.answers import Usage
from cloud.wire.errors import NotFound, SessionConflict
from tests.support.databases import new_postgresql_database
from tests.support.sessions import AllOfSessions, FakeSessions

pytestmark = pytest.mark.anyio

Store = FakeSessions | AllOfSessions


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
async def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Store]:
    if request.param == "fake":
        yield FakeSessions()
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('sessions') / 'cloud.db'}"
    else:
        url = new_postgresql_database(request.getfixturevalue("postgresql_server"))
    async with open_database(url) as database:
        yield AllOfSessions(database)


def said(text: str, *, role: str = "user", tokens: int = 10) -> NewTurn:
    document = msgspec.json.encode({"role": role, "content": text})
    if role == "assistant":
        usage = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
        return NewTurn(document=document, tokens=tokens, model="m", usage=usage)
    return NewTurn(document=document, tokens=tokens)


async def take(store: Store, session: str = "s", tenant: str = "acme", user: str | None = "ada") -> Lease:
    lease = await store.take(tenant, session, user=user)
    assert lease is not None
    return lease


async def exchange(store: Store, number: int, *, session: str = "s", limit: int = 100_000) -> int:
    return await store.append(
        await take(store, session),
        [said(f"question {number}"), said(f"answer {number}", role="assistant")],
        user="ada",
        prompt_tokens=12,
        limit_tokens=limit,
    )


async def test_turns_come_back_in_order_with_who_said_them_and_what_they_cost(store: Store) -> None:
    assert [await exchange(store, number) for number in (1, 2)] == [2, 4]
    turns = await store.turns("acme", "s")
    assert [(turn.seq, turn.role, turn.text, turn.user) for turn in turns] == [
        (1, "user", "question 1", "ada"),
        (2, "assistant", "answer 1", "ada"),
        (3, "user", "question 2", "ada"),
        (4, "assistant", "answer 2", "ada"),
    ]
    assert turns[0].usage is None
    assert turns[1].usage == Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10)
    assert [turn.seq for turn in await store.turns("acme", "s", after=1, limit=2)] == [2, 3]
    known = await store.session("acme", "s")
    assert (known.turns, known.user, known.sent_tokens, known.raw_tokens) == (4, "ada", 24, 10 + 30)


async def test_one_tenant_sees_nothing_of_another(store: Store) -> None:
    await exchange(store, 1)
    assert await store.turns("zeta", "s") == ()
    assert await store.sessions("zeta", limit=10) == ()
    assert (await store.window("zeta", "s")).turn_count == 0
    with pytest.raises(NotFound):
        await store.session("zeta", "s")
    with pytest.raises(NotFound):
        await store.delete("zeta", "s")
    assert (await store.session("acme", "s")).turns == 2


async def test_a_second_writer_gets_nothing_until_the_first_is_done(store: Store) -> None:
    first = await take(store)
    assert await store.take("acme", "s", user=None) is None
    assert await store.take("acme", "other", user=None) is not None
    await store.append(first, [said("a")], user=None, prompt_tokens=0, limit_tokens=100)
    second = await take(store)
    assert await store.renew(second)
    await store.release(second)
    assert not await store.renew(second)
    await take(store)


async def test_who_lost_the_lease_appends_nothing(store: Store) -> None:
    lost = await take(store)
    await store.release(lost)
    await exchange(store, 1)
    with pytest.raises(SessionConflict):
        await store.append(lost, [said("late")], user=None, prompt_tokens=0, limit_tokens=100)
    assert [turn.text for turn in await store.turns("acme", "s")] == ["question 1", "answer 1"]


async def test_a_session_that_was_never_answered_is_not_there(store: Store) -> None:
    await store.release(await take(store))
    with pytest.raises(NotFound):
        await store.session("acme", "s")
    assert await store.sessions("acme", limit=10) == ()


async def test_sessions_are_listed_by_page(store: Store) -> None:
    for name in ("c", "a", "b"):
        await exchange(store, 1, session=name)
    first = await store.sessions("acme", limit=2)
    assert [session.id for session in first] == ["a", "b"]
    assert [session.id for session in await store.sessions("acme", limit=2, after="b")] == ["c"]


async def test_a_deleted_session_is_gone_and_refuses_the_turn_under_way(store: Store) -> None:
    await exchange(store, 1)
    under_way = await take(store)
    await store.delete("acme", "s")
    with pytest.raises(SessionConflict):
        await store.append(under_way, [said("late")], user=None, prompt_tokens=0, limit_tokens=100)
    assert await store.turns("acme", "s") == ()
    assert await exchange(store, 1) == 2


def state_of(version: int, through: int) -> State:
    return State(
        version=version,
        covered_through=through,
        facts=(Line(text="The user is Ada.", seqs=(1,)),),
        written_by=EXTRACTIVE,
    )


async def test_of_two_states_for_the_same_version_one_is_published(store: Store) -> None:
    for number in range(3):
        await exchange(store, number)
    window = await store.window("acme", "s")
    assert await store.publish("acme", "s", state_of(1, 2), replaces=window, state_tokens=5)
    assert not await store.publish("acme", "s", state_of(1, 4), replaces=window, state_tokens=5)
    now = await store.window("acme", "s")
    assert (now.state, [turn.seq for turn in now.turns], now.turn_count) == (state_of(1, 2), [3, 4, 5, 6], 6)
    assert (await store.session("acme", "s")).state_version == 1


async def test_a_state_never_reaches_a_session_that_only_has_the_same_name(store: Store) -> None:
    await exchange(store, 1)
    old = await store.window("acme", "s")
    await store.delete("acme", "s")
    await exchange(store, 2)
    assert not await store.publish("acme", "s", state_of(1, 2), replaces=old, state_tokens=5)
    assert (await store.window("acme", "s")).state == State()


async def test_a_session_is_due_from_the_threshold_on_and_claimed_once(store: Store) -> None:
    await exchange(store, 1, limit=100)
    assert await store.claim_due(limit=9) == ()
    for number in (2, 3, 4):
        await exchange(store, number, limit=100)
    assert await store.claim_due(limit=9) == (("acme", "s"),)
    assert await store.claim_due(limit=9) == ()
    window = await store.window("acme", "s")
    assert await store.publish("acme", "s", state_of(1, 2), replaces=window, state_tokens=30)
    assert await store.claim_due(limit=9) == (("acme", "s"),), "60 of turns and 30 of state are over 70"
    window = await store.window("acme", "s")
    assert await store.publish("acme", "s", state_of(2, 6), replaces=window, state_tokens=30)
    assert await store.claim_due(limit=9) == ()


async def test_many_writers_at_once_leave_no_gap_and_no_double(store: Store) -> None:
    async def write(number: int) -> None:
        while (lease := await store.take("acme", "s", user=None)) is None:
            await anyio.sleep(0.002)
        await store.append(
            lease,
            [said(f"q{number}"), said(f"a{number}", role="assistant")],
            user=None,
            prompt_tokens=0,
            limit_tokens=100,
        )

    async with anyio.create_task_group() as writers:
        for number in range(16):
            writers.start_soon(write, number)
    turns = await store.turns("acme", "s")
    assert [turn.seq for turn in turns] == list(range(1, 33))
    pairs = [(turns[at].text[1:], turns[at + 1].text[1:]) for at in range(0, 32, 2)]
    assert all(asked == answered for asked, answered in pairs)
    assert sorted(int(asked) for asked, _ in pairs) == list(range(16))
