"""Memories in both databases: each once, found by its owner alone, gone for good when erased."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.adapters.database import Database, open_database
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_memory_subjects import SqlMemorySubjects
from cloud.domain import Episode, RecallQuery
from cloud.domain_memory import NewMemory
from cloud.memory.ranker import read_weights
from cloud.memory.remember import LongTermMemory, pieces
from cloud.wire.errors import InvalidRequest, NotFound

pytestmark = pytest.mark.anyio


def said(
    text: str, *, user: str = "ada", at: float = 1.0, place: int = 1, ttl: float | None = None
) -> NewMemory:
    return NewMemory(
        scope="user", owner=user, user=user, text=text, group=f"told/{user}", place=place, source="told",
        said_at=at, expires_at=ttl,
    )  # fmt: skip


def lines_of(found: tuple[Episode, ...]) -> set[str]:
    return {line for one in found for line in one.text.splitlines()}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


async def test_the_same_memory_written_by_64_at_once_is_kept_once(database: Database) -> None:
    store = SqlMemories(database)
    ids = await asyncio.gather(*(store.add("acme", [said("I live in Leeds")]) for _ in range(64)))
    assert len({one for found in ids for one in found}) == 1
    assert len(await store.ids("acme", "user", "ada")) == 1


async def test_nobody_sees_what_is_another_tenants_or_another_persons(database: Database) -> None:
    store = SqlMemories(database)
    (memory,) = await store.add("acme", [said("My bike is green")])
    assert await store.since("other", "user", "ada") == ()
    assert await store.since("acme", "user", "ben") == ()
    with pytest.raises(NotFound):
        await store.delete("other", memory)
    recall = LongTermMemory(store, weights=read_weights())
    for query in (
        RecallQuery(tenant="other", text="bike", user="ada"),
        RecallQuery(tenant="acme", text="bike", user="ben"),
        RecallQuery(tenant="acme", text="bike"),
    ):
        assert await recall.recall(query) == ()


async def test_a_question_finds_what_was_said_and_what_the_documents_say(database: Database) -> None:
    store = SqlMemories(database)
    await store.add("acme", [said("My bike is green", place=1), said("I play the oboe on Mondays", place=2)])
    document = "# Refunds\n\nRefunds take five days.\n\n# Shipping\n\nParcels to Norway take two weeks."
    await store.add("acme", [*pieces(document, source="handbook", said_at=1.0)])
    recall = LongTermMemory(store, weights=read_weights())
    (first, *_) = await recall.recall(
        RecallQuery(tenant="acme", text="Which instrument do I play?", user="ada")
    )
    assert "oboe" in first.text
    (found,) = await recall.recall(
        RecallQuery(tenant="acme", text="How long do parcels to Norway take?", documents_only=True, limit=1)
    )
    assert "two weeks" in found.text
    assert found.source == "handbook#Shipping"


async def test_what_was_written_after_a_search_is_found_by_the_next(database: Database) -> None:
    store = SqlMemories(database)
    recall = LongTermMemory(store, weights=read_weights())
    query = RecallQuery(tenant="acme", text="What is my cat called?", user="ada")
    assert await recall.recall(query) == ()
    await store.add("acme", [said("My cat is called Ruffle")])
    assert "Ruffle" in (await recall.recall(query))[0].text


async def test_what_is_kept_ready_is_what_reading_it_all_again_would_give(database: Database) -> None:
    now = [100.0]
    store, subjects = SqlMemories(database, clock=lambda: now[0]), SqlMemorySubjects(database)
    kept = LongTermMemory(store, weights=read_weights(), clock=lambda: now[0])
    query = RecallQuery(tenant="acme", text="Which colour is bike 3 of the shed?", user="ada", limit=4)

    async def both_agree() -> list[str]:
        fresh = LongTermMemory(store, weights=read_weights(), clock=lambda: now[0])
        found = await kept.recall(query)
        # Scores count what is gone until all is read anew; what is told does not.
        read_anew = await fresh.recall(query)
        assert lines_of(found) == lines_of(read_anew)
        return [one.text for one in found]

    ids = await store.add("acme", [said(f"Bike {n} of the shed is green", place=n) for n in (1, 5, 9)])
    await both_agree()
    ids += await store.add("acme", [said(f"Bike {n} of the shed is red", place=n) for n in (3, 7)])
    assert "Bike 3" in (await both_agree())[0]
    await store.revise("acme", ids[3], "Bike 3 of the shed is blue", valid_from=None)
    told = await both_agree()
    assert "Bike 3 of the shed is blue" in told[0]
    assert not any("Bike 3 of the shed is red" in one for one in told)
    await store.add("acme", [said("Bike 4 of the shed is white", place=4, ttl=110.0)])
    await both_agree()
    now[0] = 111.0
    assert not any("white" in one for one in await both_agree())
    await store.delete("acme", ids[0])
    assert not any("Bike 1" in one for one in await both_agree())
    await store.delete("acme", ids[3])
    assert not any("Bike 3" in one for one in await both_agree())
    await subjects.erase("acme", "ada")
    assert await both_agree() == []
    await store.add("acme", [said("Bike 3 of the shed was sold")])
    assert len(await both_agree()) == 1


async def test_owners_asked_for_least_recently_make_room(database: Database) -> None:
    store = SqlMemories(database)
    recall = LongTermMemory(store, weights=read_weights(), most_bytes=1)
    for user in ("ada", "ben"):
        await store.add("acme", [said("My bike is green", user=user)])
    for user in ("ada", "ben", "ada"):
        found = await recall.recall(RecallQuery(tenant="acme", text="my bike", user=user))
        assert [one.source for one in found] == ["told"]


async def test_a_revision_holds_from_its_time_and_the_version_before_it_until_then(
    database: Database,
) -> None:
    now = [100.0]
    store = SqlMemories(database, clock=lambda: now[0])
    recall = LongTermMemory(store, weights=read_weights(), clock=lambda: now[0])
    (first,) = await store.add("acme", [said("I live in Leeds", at=10.0)])
    second = await store.revise("acme", first, "I live in Porto", valid_from=50.0)
    third = await store.revise("acme", first, "I live in Leeds", valid_from=70.0)
    assert await store.revise("acme", second.id, "I live in  Leeds", valid_from=None) == third
    versions = [(one.text, one.said_at, one.valid_until) for one in await store.history("acme", second.id)]
    assert versions == [
        ("I live in Leeds", 70.0, None), ("I live in Porto", 50.0, 70.0), ("I live in Leeds", 10.0, 50.0)
    ]  # fmt: skip
    for as_of, memory in ((9.0, None), (10.0, first), (49.0, first), (60.0, second.id), (None, third.id)):
        query = RecallQuery(tenant="acme", text="Where do I live?", user="ada", as_of=as_of)
        assert [one.id for one in await recall.recall(query)] == ([] if memory is None else [memory])
    assert [one.id for one in await store.page("acme", limit=9)] == [third.id]


@pytest.mark.parametrize("valid_from", [5.0, 101.0])
async def test_a_revision_from_before_its_predecessor_or_from_the_future_changes_nothing(
    database: Database, valid_from: float
) -> None:
    store = SqlMemories(database, clock=lambda: 100.0)
    (first,) = await store.add("acme", [said("I live in Leeds", at=10.0)])
    with pytest.raises(InvalidRequest):
        await store.revise("acme", first, "I live in Porto", valid_from=valid_from)
    assert [one.valid_until for one in await store.history("acme", first)] == [None]


async def test_revisions_at_once_follow_one_another(database: Database) -> None:
    store = SqlMemories(database)
    (first,) = await store.add("acme", [said("I have 0 cats")])
    texts = [f"I have {count} cats" for count in range(1, 17)]
    await asyncio.gather(*(store.revise("acme", first, one, valid_from=None) for one in texts))
    versions = await store.history("acme", first)
    assert sorted(one.text for one in versions) == sorted(["I have 0 cats", *texts])
    assert [one.valid_until for one in versions].count(None) == 1


async def test_deleting_a_memory_deletes_all_its_versions(database: Database) -> None:
    store = SqlMemories(database)
    (first,) = await store.add("acme", [said("I live in Leeds")])
    second = await store.revise("acme", first, "I live in Porto", valid_from=None)
    await store.delete("acme", second.id)
    with pytest.raises(NotFound):
        await store.history("acme", first)
    assert await store.ids("acme", "user", "ada") == frozenset()


async def test_an_export_taken_back_twice_is_exported_the_same(database: Database) -> None:
    store, subjects = SqlMemories(database), SqlMemorySubjects(database)
    (first, _) = await store.add("acme", [said("I live in Leeds"), said("I play the oboe", place=2)])
    await store.revise("acme", first, "I live in Porto", valid_from=None)
    exported = [dict(one) async for one in subjects.export("acme", "ada")]
    assert len(exported) == 3
    await subjects.erase("acme", "ada")
    assert [await subjects.restore("acme", "ada", exported) for _ in range(2)] == [3, 0]
    assert [dict(one) async for one in subjects.export("acme", "ada")] == exported
    assert (await store.revise("acme", first, "I live in Leeds", valid_from=None)).lineage == first


async def test_what_is_another_persons_is_not_taken_back(database: Database) -> None:
    store, subjects = SqlMemories(database), SqlMemorySubjects(database)
    await store.add("acme", [said("I live in Leeds")])
    exported = [one async for one in subjects.export("acme", "ada")]
    with pytest.raises(InvalidRequest):
        await subjects.restore("other", "ben", exported)
    with pytest.raises(InvalidRequest):
        await subjects.restore("other", "ada", [{**exported[0], "place": "first"}])
    assert [one async for one in subjects.export("other", "ada")] == []


async def test_what_has_outlived_its_time_is_neither_found_nor_kept(database: Database) -> None:
    now = [100.0]
    store = SqlMemories(database, clock=lambda: now[0])
    await store.add("acme", [said("The code is 1234", ttl=110.0)])
    now[0] = 111.0
    assert await store.since("acme", "user", "ada") == ()
    assert await store.drop_expired() == 1
    assert await store.drop_expired() == 0


async def test_an_erased_person_is_in_no_export_and_others_stay(database: Database) -> None:
    store = SqlMemories(database)
    await store.add("acme", [said("I live in Leeds"), said("I live in Porto", user="ben")])
    subjects = SqlMemorySubjects(database)
    assert [one["text"] async for one in subjects.export("acme", "ada")] == ["I live in Leeds"]
    assert await subjects.erase("acme", "ada") == {"memories": 1}
    assert [one async for one in subjects.export("acme", "ada")] == []
    assert len(await store.since("acme", "user", "ben")) == 1


def words_kept_ready(memory: LongTermMemory) -> str:
    """All text that the process has of memories it was asked for, and the words in its index."""
    return " ".join(
        word
        for ready in memory._ready.values()
        for word in (*(passage.text for passage in ready.passages.rows), *ready.passages.words._id_of)
    )


async def test_erased_text_is_not_kept_in_memory_until_the_next_search(database: Database) -> None:
    store = SqlMemories(database)
    here, elsewhere = (LongTermMemory(store, weights=read_weights()) for _ in range(2))
    subjects = SqlMemorySubjects(database, after_erasure=here.let_go)
    await store.add("acme", [said("the canary sings", user="ada"), said("the heron waits", user="bob")])
    of_agent = said("the canary is yellow")
    await store.add("acme", [replace(of_agent, scope="agent", owner="desk")])
    await store.add("zeta", [said("the canary of another", user="ada")])
    for process in (here, elsewhere):
        for tenant, user in (("acme", "ada"), ("acme", "bob")):
            await process.recall(RecallQuery(tenant=tenant, text="canary", user=user, agent="desk"))
        assert "canar" in words_kept_ready(process)

    await subjects.erase("acme", "ada")
    assert "canar" not in words_kept_ready(here)
    assert "heron" in words_kept_ready(here), "others stay ready"
    assert "canar" in words_kept_ready(elsewhere)
    await elsewhere.let_go()
    assert "canar" not in words_kept_ready(elsewhere)
    assert await here.recall(RecallQuery(tenant="acme", text="canary", user="ada", agent="desk")) == ()
    assert await here.recall(RecallQuery(tenant="zeta", text="canary", user="ada")) != ()


async def test_words_of_a_memory_that_was_deleted_leave_with_the_sweep(database: Database) -> None:
    store = SqlMemories(database)
    memory = LongTermMemory(store, weights=read_weights())
    first, _ = await store.add("acme", [said(text, user="ada") for text in ("a canary", "a heron")])
    query = RecallQuery(tenant="acme", text="bird heron", user="ada")
    await memory.recall(query)
    await store.delete("acme", first)
    await memory.recall(query)  # hides it, and knows the owner's newest stamp
    await memory.let_go()
    assert "canar" not in words_kept_ready(memory)
    assert [episode.text for episode in await memory.recall(query)] != []


async def test_erased_text_is_in_no_file_any_more(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'cloud.db'}") as database:
        store = SqlMemories(database)
        ids = await store.add("acme", [said(f"canary-7f3a number {n}", place=n) for n in range(50)])
        for memory in ids[:9]:
            await store.revise("acme", memory, f"canary-7f3a, changed: {memory}", valid_from=None)
        assert await SqlMemorySubjects(database).erase("acme", "ada") == {"memories": 59}
        await database.scrub()
        left = [file.name for file in tmp_path.iterdir() if b"canary-7f3a" in file.read_bytes()]
        assert left == []


async def test_an_episode_of_a_conversation_names_its_session_and_turns(database: Database) -> None:
    store = SqlMemories(database)
    talk = [
        replace(said(text, place=place), group="session/s")
        for place, text in enumerate(("Hello", "My bike is green", "A fine colour"), start=4)
    ]
    await store.add("acme", [*talk, said("My oboe is black")])
    recall = LongTermMemory(store, weights=read_weights())
    (bike,) = await recall.recall(RecallQuery(tenant="acme", text="my bike", user="ada", limit=1))
    assert (bike.session, bike.seqs) == ("s", (4, 5, 6))
    (oboe,) = await recall.recall(RecallQuery(tenant="acme", text="my oboe", user="ada", limit=1))
    assert (oboe.session, oboe.seqs) == (None, ())
