"""What writing and searching cost when one tenant has a great many memories: made up, seeded, interleaved.

Their embeddings are made up as well, which costs a search the same; questions and new memories are read
by the encoder.
"""

import asyncio
import random
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from sqlalchemy import make_url

from bench.figures import percentile
from bench.progress import Bar
from bench.tables import Bar as Promise
from cloud.adapters.database import open_database
from cloud.adapters.onnx_embedder import OnnxEmbedder
from cloud.adapters.sql_memories import SqlMemories
from cloud.adapters.sql_memory_vectors import SqlMemoryVectors
from cloud.domain import RecallQuery
from cloud.domain_memory import NewMemory
from cloud.memory.embedding import Embedding, packed
from cloud.memory.ranker import read_weights
from cloud.memory.remember import LongTermMemory
from cloud.settings import CloudSettings

WRITE_MS: Final = 30.0
SEARCH_MS: Final = 40.0
FOUND_AGAIN: Final = 0.95
OWNERS: Final = ((0.6, "ada"), (0.3, "ben"), (0.1, "cleo"))
"""Shares of the memories: most are one person's, which is the hardest to search."""
TENANT: Final = "bench"
BATCH: Final = 256
WORDS: Final = 20_000
LENGTHS: Final = (6, 28)
ASKED_WORDS: Final = (3, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Milliseconds; a search comes after a write each, so that it meets what is new."""

    store: str
    count: int
    filled_per_s: float
    """Memories, in batches of 256."""
    write_p50_ms: float
    write_p95_ms: float
    first_search_ms: float
    """Of the largest owner: reads all of it."""
    search_p50_ms: float
    search_p95_ms: float
    search_cpu_p95_ms: float
    """Of this process alone: what a search would take at least, had the machine nothing else to do."""
    found_again: float
    """Share of questions in the words of one memory that find it among the first three."""
    peak_mb: float
    """Of this process, all stores so far together."""

    @property
    def is_good(self) -> bool:
        """Nothing that was acknowledged is lost; how fast it is depends on the machine."""
        return self.found_again >= FOUND_AGAIN


def measure(url: str, *, count: int, searches: int, shown: Bar, seed: int = 6) -> Scale:
    """Fills the empty database at `url`, then writes and searches by turns."""
    return asyncio.run(_measure(url, count=count, searches=searches, shown=shown, seed=seed))


async def _measure(url: str, *, count: int, searches: int, shown: Bar, seed: int) -> Scale:
    rng = random.Random(seed)  # noqa: S311
    made = list(_made_up(rng, count + searches))
    kept, later = made[:count], made[count:]
    name = make_url(url).get_backend_name()
    async with open_database(url) as database:
        store = SqlMemories(database)
        shown.begin(f"{name}: filling")
        began = time.perf_counter()
        for first in range(0, count, BATCH):
            await store.add(TENANT, kept[first : first + BATCH])
            shown.reached(min(count, first + BATCH))
        filled_s = time.perf_counter() - began
        embedder = await OnnxEmbedder.open(CloudSettings().memory_bundle_path)
        vectors = SqlMemoryVectors(database)
        shown.begin(f"{name}: embeddings")
        await _embed(store, vectors, embedder, shown)
        embedding = Embedding(store, vectors, embedder)
        recall = LongTermMemory(store, weights=read_weights(), vectors=vectors, embedder=embedder)
        began = time.perf_counter()
        await recall.recall(RecallQuery(tenant=TENANT, text=kept[0].text, user=OWNERS[0][1]))
        first_ms = 1000 * (time.perf_counter() - began)
        for _, owner in OWNERS[1:]:
            await recall.recall(RecallQuery(tenant=TENANT, text=kept[0].text, user=owner))
        shown.begin(f"{name}: writing and searching")
        writes, found, times, cpu = [], [], [], []
        for done, memory in enumerate(later, start=1):
            began = time.perf_counter()
            await store.add(TENANT, [memory])
            writes.append(1000 * (time.perf_counter() - began))
            await embedding.step()
            wanted = rng.choice(kept)
            query = RecallQuery(tenant=TENANT, text=_question(rng, wanted.text), user=wanted.owner)
            began, worked = time.perf_counter(), time.process_time()
            episodes = await recall.recall(query)
            times.append(1000 * (time.perf_counter() - began))
            cpu.append(1000 * (time.process_time() - worked))
            found.append(any(wanted.text in episode.text for episode in episodes))
            shown.reached(done)
        embedder.close()
    return Scale(
        store=name,
        count=count,
        filled_per_s=count / filled_s,
        write_p50_ms=percentile(writes, 0.5),
        write_p95_ms=percentile(writes, 0.95),
        first_search_ms=first_ms,
        search_p50_ms=percentile(times, 0.5),
        search_p95_ms=percentile(times, 0.95),
        search_cpu_p95_ms=percentile(cpu, 0.95),
        found_again=sum(found) / len(found),
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


async def _embed(
    store: SqlMemories, vectors: SqlMemoryVectors, embedder: OnnxEmbedder, shown: Bar, seed: int = 7
) -> None:
    """Random vectors for all there is."""
    rng = np.random.default_rng(seed)
    done = 0
    while owners := await vectors.behind(embedder.identity):
        for owner in owners:
            page = await store.since(owner.tenant, owner.scope, owner.owner, seq=owner.through)
            made = rng.standard_normal((len(page), embedder.dimensions)).astype(np.float32)
            kept = [(memory.id, packed(vector)) for (_, memory), vector in zip(page, made, strict=True)]
            await vectors.put(owner, embedder.identity, through=page[-1][0], vectors=kept)
            done += len(page)
            shown.reached(done)


def _made_up(rng: random.Random, count: int) -> Iterator[NewMemory]:
    """Words as often as in a language (Zipf's law), sessions of 40 turns, two speakers, two years."""
    words = [_word(number) for number in range(WORDS)]
    shares = [1 / (rank + 10) for rank in range(WORDS)]
    names = [name for _, name in OWNERS]
    owners = rng.choices(names, [share for share, _ in OWNERS], k=count)
    for number, owner in enumerate(owners):
        text = " ".join(rng.choices(words, shares, k=rng.randint(*LENGTHS)))
        yield NewMemory(
            scope="user",
            owner=owner,
            user=owner,
            text=f"{text} {number}",
            group=f"session/{owner}-{number // 120}",
            place=number,
            source=f"session {owner}-{number // 120}, turn {number}",
            speaker=("user", "assistant")[number % 2],
            said_at=1.7e9 + number * 630.0,
        )


def _word(number: int) -> str:
    """Pronounceable, no two the same."""
    letters = ""
    number += 400
    while number:
        number, rest = divmod(number, 80)
        letters += "bdfgklmnprstvzhj"[rest % 16] + "aeiou"[rest // 16]
    return letters


def _question(rng: random.Random, text: str) -> str:
    words = text.split()[:-1]
    return "What about " + " ".join(rng.sample(words, k=min(len(words), rng.randint(*ASKED_WORDS)))) + "?"


def render(reports: Sequence[Scale]) -> str:
    lines = []
    for one in reports:
        lines += [
            f"## {one.store}: {one.count} memories of one tenant, {max(OWNERS)[0]:.0%} of them one person's",
            "",
            Promise(
                promise=f"write p95 <= {WRITE_MS:.0f} ms",
                measured=f"{one.write_p95_ms:.1f} ms (median {one.write_p50_ms:.1f})",
                is_met=one.write_p95_ms <= WRITE_MS,
            ).line(),
            Promise(
                promise=f"search p95 <= {SEARCH_MS:.0f} ms",
                measured=f"{one.search_p95_ms:.1f} ms (median {one.search_p50_ms:.1f}; "
                f"p95 of its CPU time {one.search_cpu_p95_ms:.1f})",
                is_met=one.search_p95_ms <= SEARCH_MS,
            ).line(),
            "",
            f"Filled at {one.filled_per_s:.0f} memories a second; the first search of the largest owner took "
            f"{one.first_search_ms:.0f} ms; {one.found_again:.0%} of the memories asked for in their own "
            f"words came among the first three; this process took {one.peak_mb:.0f} MB at most.",
            "",
        ]
    return "\n".join(lines)
