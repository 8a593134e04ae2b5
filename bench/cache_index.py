"""Recall after turnover and lookup times of the caches: `python -m bench.cache_index --help`."""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.adapters.diskcache_exact import DiskcacheExact
from edge.adapters.usearch_semantic import UsearchSemantic
from edge.domain import Entry, Keys, Scope, StoredAnswer

DIMENSIONS = 384
COMPLETION = b'{"choices":[{"index":0,"message":{"content":"' + b"x" * 800 + b'"},"finish_reason":"stop"}]}'
_FAR = 4e9

Matrix = npt.NDArray[np.float32]


def topical(count: int, *, seed: int, topics: int = 200) -> Matrix:
    """Unit vectors in clusters, as questions come: shape (count, 384)."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((topics, DIMENSIONS))
    rows = centres[chance.integers(topics, size=count)] + 0.6 * chance.standard_normal((count, DIMENSIONS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def nudged(vector: Matrix, chance: np.random.Generator) -> Matrix:
    """The same question in other words: cosine about 0.95."""
    moved = vector + 0.33 * chance.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
    return np.asarray(moved / np.linalg.norm(moved), np.float32)


def entry(tenant: str, number: int, vector: Matrix, *, now: float) -> Entry:
    name = f"{number:043}"
    answer = StoredAnswer(id=name, completion=COMPLETION, created=now, expires=_FAR)
    keys = Keys(entry=name, scope=Scope(tenant=tenant, digest="bench"))
    return Entry(keys=keys, question=f"question {number}", embedding=vector, answer=answer)


async def recall_after_turnovers(
    folder: Path, *, tenants: int, entries: int, turnovers: int, asks: int, exact_limit: int
) -> float:
    """Share of asks whose nearest candidate is the truly nearest live entry of the tenant's own."""
    quota = entries // tenants
    cache = UsearchSemantic(folder, min_similarity=-1.0, entries_per_tenant=quota, exact_limit=exact_limit)
    names = [f"tenant-{number}" for number in range(tenants)]
    total = tenants * quota * (1 + turnovers)
    vectors = topical(total, seed=1)
    for number in range(total):
        await cache.put(entry(names[number % tenants], number, vectors[number], now=time.time()))
    await cache.settle()
    chance = np.random.default_rng(2)
    # Entries leave by hundredths, so the youngest nine tenths of the quota are alive in any case.
    alive = np.arange(total - int(0.9 * quota) * tenants, total)
    hits = 0
    for number in chance.choice(alive, asks):
        own = alive[alive % tenants == number % tenants]
        asked = nudged(vectors[number], chance)
        truly = int(own[np.argmax(vectors[own] @ asked)])
        scope = Scope(tenant=names[number % tenants], digest="bench")
        found = await cache.nearest(scope, asked, limit=1)
        hits += bool(found) and found[0].question in (f"question {truly}",)
    await cache.aclose()
    return hits / asks


async def lookup_times(folder: Path, *, entries: int, asks: int) -> dict[str, float]:
    """Milliseconds of a semantic lookup, answer included, among so many entries of one scope."""
    cache = UsearchSemantic(folder, min_similarity=0.7, entries_per_tenant=2 * entries)
    vectors = topical(entries, seed=3)
    for number in range(entries):
        await cache.put(entry("acme", number, vectors[number], now=time.time()))
    chance = np.random.default_rng(4)
    scope = Scope(tenant="acme", digest="bench")
    await cache.nearest(scope, vectors[0], limit=1)  # reads the scope
    await cache.settle()
    times, hits = [], 0
    for number in chance.integers(entries, size=asks):
        asked = nudged(vectors[number], chance)
        started = time.perf_counter()
        found = await cache.nearest(scope, asked, limit=3)
        times.append((time.perf_counter() - started) * 1000)
        hits += bool(found) and found[0].question == f"question {number}"
    await cache.aclose()
    return {**percentiles(times), "recall": hits / asks}


async def exact_times(folder: Path, *, entries: int, asks: int) -> dict[str, float]:
    """Microseconds of an exact hit and milliseconds of a store, in process."""
    cache = DiskcacheExact(folder, max_bytes=1 << 30)
    puts, gets = [], []
    for number in range(entries):
        one = entry("acme", number, np.empty(0, np.float32), now=time.time())
        started = time.perf_counter()
        await cache.put(one.keys, one.answer)
        puts.append((time.perf_counter() - started) * 1000)
    for number in np.random.default_rng(5).integers(entries, size=asks):
        keys = entry("acme", int(number), np.empty(0, np.float32), now=0).keys
        started = time.perf_counter()
        assert await cache.get(keys) is not None
        gets.append((time.perf_counter() - started) * 1e6)
    await cache.aclose()
    return {
        **{f"get_us_{name}": value for name, value in percentiles(gets).items()},
        **{f"put_ms_{name}": value for name, value in percentiles(puts).items()},
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{at}": round(float(np.percentile(values, at)), 4) for at in (50, 99)}


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        results["exact"] = await exact_times(folder / "exact", entries=2000, asks=5000)
        for tenants in options.tenants:
            results[f"recall at {tenants} tenants"] = await recall_after_turnovers(
                folder / f"recall-{tenants}",
                tenants=tenants,
                entries=options.entries,
                turnovers=8,
                asks=500,
                exact_limit=options.exact_limit,
            )
        if options.lookup:
            results[f"lookup among {options.lookup}"] = await lookup_times(
                folder / "lookup", entries=options.lookup, asks=1000
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cache_index", description=__doc__)
    parser.add_argument("--tenants", type=int, nargs="*", default=[1, 10, 100])
    parser.add_argument("--entries", type=int, default=5000, help="alive at once, all tenants together")
    parser.add_argument(
        "--exact-limit", type=int, default=100, help="partition size from which a graph is used"
    )
    parser.add_argument("--lookup", type=int, default=0, help="also time lookups among so many entries")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
