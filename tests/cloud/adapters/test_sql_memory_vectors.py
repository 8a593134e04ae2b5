"""Embeddings in both databases: made behind the writes, found by meaning, gone with their memories."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from cloud.adapters.database import Database, open_database
from cloud.adapters.onnx_embedder import OnnxEmbedder
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_memory_subjects import SqlMemorySubjects
from cloud.adapters.sql_memory_vectors import SqlMemoryVectors
from cloud.domain import RecallQuery
from cloud.memory.embedding import BATCH, Embedding, packed
from cloud.memory.ranker import read_weights
from cloud.memory.remember import LongTermMemory
from cloud.settings import CloudSettings
from cloud.wire.service.settings import StartUpError
from tests.cloud.adapters.test_sql_memories import said

pytestmark = pytest.mark.anyio
SHIPPED = CloudSettings().memory_bundle_path


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


class FakeEmbedder:
    """Eight dimensions by the letters of a text; counts what it reads."""

    dimensions = 8

    def __init__(self, identity: str = "letters@1") -> None:
        self.identity = identity
        self.read: list[str] = []

    async def embed(self, told: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        self.read.append(told)
        counts = np.array([told.count(letter) + 0.1 for letter in "aeioudst"], dtype=np.float32)
        return np.asarray(counts / np.linalg.norm(counts), dtype=np.float32)


@pytest.fixture
async def onnx() -> AsyncIterator[OnnxEmbedder]:
    embedder = await OnnxEmbedder.open(SHIPPED)
    yield embedder
    embedder.close()


async def counted(database: Database, table: str) -> int:
    async with database.reading() as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


async def test_what_shares_no_word_with_the_question_is_found_by_its_meaning(
    database: Database, onnx: OnnxEmbedder
) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    told = [
        "The kettle needs a new plug",
        "Our puppy was ill after eating chocolate",
        "Tickets to Porto cost ninety euros",
        "The meeting moved to Thursday",
        "Mortgage rates went up once more",
    ]
    await store.add("acme", [said(one, place=n, user="ada") for n, one in enumerate(told)])
    by_words = LongTermMemory(store, weights=read_weights())
    by_meaning = LongTermMemory(store, weights=read_weights(), vectors=vectors, embedder=onnx)
    query = RecallQuery(tenant="acme", text="Why did my dog feel sick?", user="ada", limit=1)
    before = (await by_meaning.recall(query))[0].score
    assert before == (await by_words.recall(query))[0].score, "until it is read it is found by its words"
    assert await Embedding(store, vectors, onnx).step() == len(told)
    (found,) = await by_meaning.recall(query)
    assert "puppy" in found.text.splitlines()[1], "in the middle of its episode"
    assert found.score != before


async def test_every_memory_is_read_once_and_another_bundle_reads_all_anew(database: Database) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    count = 2 * BATCH + 3
    await store.add("acme", [said(f"statement {n}", place=n) for n in range(count)])
    await store.add("other", [said("a statement of another tenant")])
    embedder = FakeEmbedder()
    embedding = Embedding(store, vectors, embedder)
    while await embedding.step():
        pass
    assert len(embedder.read) == len({*embedder.read}) == count + 1
    assert await vectors.behind(embedder.identity) == ()
    newer = FakeEmbedder("letters@2")
    while await Embedding(store, vectors, newer).step():
        pass
    assert len(newer.read) == count + 1
    assert await counted(database, "memory_vectors") == 2 * (count + 1)
    assert await vectors.drop_others(newer.identity) == count + 1
    assert await vectors.behind(newer.identity) == ()


async def test_two_processes_that_read_the_same_at_once_keep_each_vector_once(database: Database) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    await store.add("acme", [said(f"statement {n}", place=n) for n in range(20)])
    await asyncio.gather(*(Embedding(store, vectors, FakeEmbedder()).step() for _ in range(4)))
    assert await counted(database, "memory_vectors") == 20


async def test_vectors_go_with_their_memories_and_their_person(database: Database) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    ids = await store.add("acme", [said(f"statement {n}", place=n) for n in range(4)])
    embedding = Embedding(store, vectors, FakeEmbedder())
    await embedding.step()
    await store.delete("acme", ids[0])
    assert await counted(database, "memory_vectors") == 3
    await SqlMemorySubjects(database).erase("acme", "ada")
    assert await counted(database, "memory_vectors") == 0
    assert await counted(database, "memory_embedded") == 0


async def test_who_is_erased_while_being_read_keeps_no_vector_and_is_read_anew(database: Database) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    (first,) = await store.add("acme", [said("I live in Leeds")])
    (behind,) = await vectors.behind("letters@1")
    await SqlMemorySubjects(database).erase("acme", "ada")
    again = await store.add("acme", [said("I live in Leeds"), said("I play the oboe", place=2)])
    await vectors.put(behind, "letters@1", through=5, vectors=[(first, packed(np.ones(8, dtype=np.float32)))])
    assert await counted(database, "memory_vectors") == 0
    embedder = FakeEmbedder()
    assert await Embedding(store, vectors, embedder).step() == len(again)


async def test_damaged_vectors_are_left_out_and_the_rest_is_found(
    database: Database, onnx: OnnxEmbedder
) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    await store.add("acme", [said(f"My bike number {n} is green", place=n) for n in range(4)])
    await Embedding(store, vectors, onnx).step()
    async with database.writing() as connection:
        for damage in (b"", b"short", bytes(384)):
            await connection.execute(
                text(
                    "UPDATE memory_vectors SET vector = :damage WHERE id = "
                    "(SELECT id FROM memory_vectors WHERE length(vector) = 384 AND vector <> :zeros LIMIT 1)"
                ),
                {"damage": damage, "zeros": bytes(384)},
            )
    recall = LongTermMemory(store, weights=read_weights(), vectors=vectors, embedder=onnx)
    found = await recall.recall(RecallQuery(tenant="acme", text="Which bike is green?", user="ada"))
    assert found


async def test_an_index_kept_ready_is_what_reading_it_all_again_gives(
    database: Database, onnx: OnnxEmbedder
) -> None:
    store, vectors = SqlMemories(database), SqlMemoryVectors(database)
    embedding = Embedding(store, vectors, onnx)

    def opened() -> LongTermMemory:
        return LongTermMemory(store, weights=read_weights(), vectors=vectors, embedder=onnx)

    kept = opened()
    query = RecallQuery(tenant="acme", text="Which colour is the bike?", user="ada", limit=3)
    for first in (0, 3, 6):
        await store.add("acme", [said(f"Bike {n} is red", place=n) for n in range(first, first + 3)])
        await kept.recall(query)  # knows the passages before their vectors
        await embedding.step()
        assert await kept.recall(query) == await opened().recall(query)


async def test_a_bundle_that_is_none_is_said_at_start(tmp_path: Path) -> None:
    with pytest.raises(StartUpError, match=r"memory_bundle: .*bundle\.json"):
        await OnnxEmbedder.open(tmp_path)
