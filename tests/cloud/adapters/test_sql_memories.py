"""Memories in both databases: each once, found by its owner alone, gone for good when erased."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloud.adapters.database import Database, open_database
from cloud.adapters.sql_memories import SqlMemories
from cloud.domain import RecallQuery
from cloud.domain_memory import NewMemory
from cloud.memory.ranker import read_weights
from cloud.memory.remember import LongTermMemory, pieces
from cloud.wire.errors import NotFound

pytestmark = pytest.mark.anyio


def said(
    text: str, *, user: str = "ada", at: float = 1.0, place: int = 1, ttl: float | None = None
) -> NewMemory:
    return NewMemory(
        scope="user", owner=user, user=user, text=text, group=f"told/{user}", place=place, source="told",
        said_at=at, expires_at=ttl,
    )  # fmt: skip


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


async def test_the_same_memory_written_by_64_at_once_is_kept_once(database: Database) -> None:
    store = SqlMemories(database)
    ids = await asyncio.gather(*(store.add("acme", [said("I live in Leeds")]) for _ in range(64)))
    assert len({one for found in ids for one in found}) == 1
    assert (await store.stamp("acme", "user", "ada"))[0] == 1


async def test_nobody_sees_what_is_another_tenants_or_another_persons(database: Database) -> None:
    store = SqlMemories(database)
    (memory,) = await store.add("acme", [said("My bike is green")])
    assert await store.of("other", "user", "ada") == ()
    assert await store.of("acme", "user", "ben") == ()
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


async def test_what_has_outlived_its_time_is_neither_found_nor_kept(database: Database) -> None:
    now = [100.0]
    store = SqlMemories(database, clock=lambda: now[0])
    await store.add("acme", [said("The code is 1234", ttl=110.0)])
    now[0] = 111.0
    assert await store.of("acme", "user", "ada") == ()
    assert await store.drop_expired() == 1
    assert await store.drop_expired() == 0


async def test_an_erased_person_is_in_no_export_and_others_stay(database: Database) -> None:
    store = SqlMemories(database)
    await store.add("acme", [said("I live in Leeds"), said("I live in Porto", user="ben")])
    assert [one["content"] async for one in store.export("acme", "ada")] == ["I live in Leeds"]
    assert await store.erase("acme", "ada") == {"memories": 1}
    assert [one async for one in store.export("acme", "ada")] == []
    assert len(await store.of("acme", "user", "ben")) == 1


async def test_erased_text_is_in_no_file_any_more(tmp_path: Path) -> None:
    async with open_database(f"sqlite:///{tmp_path / 'cloud.db'}") as database:
        store = SqlMemories(database)
        await store.add("acme", [said(f"canary-7f3a number {n}", place=n) for n in range(50)])
        await store.erase("acme", "ada")
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
