"""The semantic cache on disk: restarts, quotas, turnover, kills, damage."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.adapters.usearch_semantic import UsearchSemantic
from edge.domain import Scope
from tests.ports.test_semantic_cache import SCOPE, asked, direction, entry
from tests.support.caches import Clock

pytestmark = pytest.mark.anyio
ROUNDS = int(os.environ.get("WAYSIDE_FUZZ_ROUNDS", "40"))
"""Copies of the folder that are damaged: a few here, a thousand when asked for."""


def opened(folder: Path, clock: Clock, **options: Any) -> UsearchSemantic:
    given: dict[str, Any] = {
        "min_similarity": 0.8,
        "entries_per_tenant": 10_000,
        "exact_limit": 50,
        "clock": clock,
    } | options
    return UsearchSemantic(folder, **given)


async def filled(folder: Path, clock: Clock, seeds: range) -> UsearchSemantic:
    """Looked in before anything is stored, as the edge does, so that the scope is in memory."""
    cache = opened(folder, clock)
    assert await asked(cache, direction(seeds[0])) == []
    for seed in seeds:
        await cache.put(entry(clock, seed))
    await cache.settle()
    return cache


@pytest.mark.parametrize("count", [20, 200])
async def test_entries_survive_a_restart_in_either_form(tmp_path: Path, count: int) -> None:
    clock = Clock()
    for begin in (0, count):
        cache = opened(tmp_path, clock)
        for seed in range(begin, begin + count):
            await cache.put(entry(clock, seed))
        await cache.settle()
        for seed in range(0, begin + count, 7):
            assert f"question {seed}" in await asked(cache, direction(seed, tilt=0.05))
        await cache.settle()
        await cache.aclose()
    assert (len(list((tmp_path / "index").glob("*.usearch"))) if (tmp_path / "index").exists() else 0) == (
        count > 20
    )


async def test_no_key_of_an_index_is_looked_up_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """USearch searches from the start for each: a full cache took minutes to open after a restart."""
    clock = Clock()
    cache = await filled(tmp_path, clock, range(200))
    await cache.aclose()

    def refused(self: object, offset: object) -> None:
        raise AssertionError("a key was looked up by itself")

    monkeypatch.setattr("usearch.index.IndexedKeys.__getitem__", refused)
    again = opened(tmp_path, clock)
    assert "question 7" in await asked(again, direction(7, tilt=0.05))
    await again.aclose()


async def test_a_damaged_index_is_built_again_from_the_rows(tmp_path: Path) -> None:
    clock = Clock()
    cache = await filled(tmp_path, clock, range(200))
    await cache.aclose()
    (index,) = (tmp_path / "index").glob("*.usearch")
    whole = index.read_bytes()
    for damaged in (whole[:-100], whole[:50] + b"\xff" * 30 + whole[80:], b"", None):
        index.unlink() if damaged is None else index.write_bytes(damaged)
        cache = opened(tmp_path, clock)
        assert await asked(cache, direction(3)) == ["question 3"]
        await cache.settle()
        assert await asked(cache, direction(150)) == ["question 150"]
        await cache.aclose()
        assert index.exists()


async def test_an_index_of_other_rows_is_not_taken_for_ours(tmp_path: Path) -> None:
    clock = Clock()
    for folder, first in (("a", 0), ("b", 1000)):
        cache = await filled(tmp_path / folder, clock, range(first, first + 200))
        await cache.aclose()
    shutil.rmtree(tmp_path / "b" / "index")
    shutil.copytree(tmp_path / "a" / "index", tmp_path / "b" / "index")
    cache = opened(tmp_path / "b", clock)
    assert await asked(cache, direction(1005)) == ["question 1005"]
    assert "question 5" not in await asked(cache, direction(5))
    await cache.aclose()


async def test_a_tenant_over_its_quota_loses_what_it_used_least(tmp_path: Path) -> None:
    clock = Clock()
    cache = opened(tmp_path, clock, entries_per_tenant=20)
    await cache.put(entry(clock, 999, tenant="zeta"))
    for seed in range(40):
        clock.now += 0.01
        await cache.put(entry(clock, seed))
        assert await asked(cache, direction(0)) == ["question 0"], "in use, so it stays"
    assert await asked(cache, direction(1)) == []
    assert await asked(cache, direction(39)) == ["question 39"]
    assert await asked(cache, direction(999), Scope(tenant="zeta", digest="s")) == ["question 999"]
    assert await cache.drop("acme") <= 20
    await cache.aclose()


@pytest.mark.parametrize("tenants", [1, 10, 100])
async def test_recall_holds_after_eight_full_turnovers(tmp_path: Path, tenants: int) -> None:
    clock = Clock()
    quota = 600 // tenants
    cache = opened(tmp_path, clock, entries_per_tenant=quota, exact_limit=40)
    names = [f"tenant-{number}" for number in range(tenants)]
    seed = 0
    for _ in range(8 * quota):
        for tenant in names:
            clock.now += 0.001
            await cache.put(entry(clock, seed, tenant=tenant))
            seed += 1
    await cache.settle()
    recent = range(seed - tenants * (quota // 2), seed)
    asked_for = random.Random(3).sample(recent, min(150, len(recent)))
    hits = 0
    for number in asked_for:
        scope = Scope(tenant=names[number % tenants], digest="s")
        hits += (await asked(cache, direction(number, tilt=0.1), scope))[:1] == [f"question {number}"]
    await cache.aclose()
    assert hits / len(asked_for) >= 0.99


async def test_no_tenant_ever_finds_anothers_entry(tmp_path: Path) -> None:
    clock, chance = Clock(), random.Random(11)
    cache = opened(tmp_path, clock)
    tenants = [f"t{number}" for number in range(30)]
    owners: dict[str, set[str]] = {}
    for _ in range(1500):
        tenant, seed = chance.choice(tenants), chance.randrange(40)
        scope = Scope(tenant=tenant, digest=chance.choice("ab"))
        mine = f"{tenant} {scope.digest}"
        if chance.random() < 0.4:
            await cache.put(entry(clock, seed, tenant=tenant, scope=scope.digest, completion=mine.encode()))
            owners.setdefault(mine, set()).add(f"question {seed}")
        else:
            for candidate in await cache.nearest(scope, direction(seed), limit=3):
                assert candidate.answer.completion == mine.encode()
                assert candidate.question in owners[mine]
    await cache.aclose()


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.edge.adapters.test_usearch_semantic import opened
from tests.ports.test_semantic_cache import entry
from tests.support.caches import Clock

async def main():
    cache, clock = opened(Path(sys.argv[1]), Clock()), Clock()
    for seed in range(int(sys.argv[2]), 10**6):
        if await cache.put(entry(clock, seed)):
            print(seed, flush=True)

asyncio.run(main())
"""


async def test_a_kill_during_writes_loses_no_acknowledged_entry(tmp_path: Path) -> None:
    clock, kept = Clock(), list[int]()
    for wait_for in (30, 90):
        first = len(kept)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(wait_for):
            kept.append(int(writer.stdout.readline()))
        writer.send_signal(signal.SIGKILL)
        kept.extend(int(line) for line in writer.stdout.read().split("\n")[:-1])
        writer.wait()
        writer.stdout.close()
        cache = opened(tmp_path, clock)
        for seed in kept:
            assert await asked(cache, direction(seed)) == [f"question {seed}"]
        await cache.aclose()


async def test_damaged_files_lose_entries_but_never_answer_wrongly(tmp_path: Path) -> None:
    clock, chance = Clock(), random.Random(17)
    cache = opened(tmp_path / "whole", clock)
    for seed in range(120):
        await cache.put(entry(clock, seed, completion=b"answer %d " % seed * 20))
    await cache.settle()
    shutil.copytree(tmp_path / "whole", tmp_path / "live")  # with its write-ahead log
    await cache.aclose()
    for round_ in range(ROUNDS):
        folder = tmp_path / "damaged"
        shutil.copytree(tmp_path / ("live" if round_ % 2 else "whole"), folder)
        for path in [path for path in folder.rglob("*") if path.is_file() and chance.random() < 0.6]:
            data = bytearray(path.read_bytes())
            if chance.random() < 0.4:
                del data[chance.randrange(len(data) + 1) :]
            for _ in range(chance.randint(0, 300)):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
            path.write_bytes(data)
        cache = opened(folder, clock)
        for seed in range(0, 120, 3):
            for found in await cache.nearest(SCOPE, direction(seed), limit=3):
                number = int(found.question.split()[1])
                assert found.answer.completion == b"answer %d " % number * 20
        assert await cache.put(entry(clock, 5000)) in (True, False)
        await cache.aclose()
        shutil.rmtree(folder)


async def test_a_full_disk_is_a_miss_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    cache = opened(tmp_path, clock)
    await cache.put(entry(clock, 1))
    with monkeypatch.context() as patched:

        def full(*_: object, **__: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        patched.setattr(cache._store._rows, "add", full)
        assert not await cache.put(entry(clock, 2))
    assert await cache.put(entry(clock, 3))
    assert await asked(cache, direction(1)) == ["question 1"]
    assert np.isfinite(direction(1)).all()
    await cache.aclose()


async def test_a_scope_too_large_to_scan_is_found_again_when_its_graph_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    cache = await filled(tmp_path, clock, range(200))
    await cache.aclose()
    shutil.rmtree(tmp_path / "index")
    monkeypatch.setattr("edge.adapters.usearch_semantic._MOST_SCANNED", 100)
    cache = opened(tmp_path, clock)
    assert await asked(cache, direction(7)) in ([], ["question 7"])  # the builder may be quick
    await cache.put(entry(clock, 500))
    await cache.settle()
    assert await asked(cache, direction(7)) == ["question 7"]
    assert await asked(cache, direction(500)) == ["question 500"]
    await cache.aclose()


async def test_many_writes_at_once_are_all_kept_and_found(tmp_path: Path) -> None:
    clock = Clock()
    cache = await filled(tmp_path, clock, range(10))
    assert all(await asyncio.gather(*(cache.put(entry(clock, seed)) for seed in range(10, 210))))
    await cache.settle()
    for seed in range(0, 210, 7):
        assert await asked(cache, direction(seed)) == [f"question {seed}"]
    await cache.aclose()


async def test_what_is_dropped_is_gone_however_many_writes_wait(tmp_path: Path) -> None:
    clock = Clock()
    cache = await filled(tmp_path, clock, range(10))
    puts = [asyncio.create_task(cache.put(entry(clock, seed))) for seed in range(10, 100)]
    await asyncio.sleep(0)
    await cache.drop(SCOPE.tenant)
    await asyncio.gather(*puts)
    assert await asked(cache, direction(99)) == []
    await cache.aclose()
    again = opened(tmp_path, clock)
    assert await asked(again, direction(99)) == []
    await again.aclose()
