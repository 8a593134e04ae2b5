"""What keeping a turn costs: its lease and its transaction, alone and with others at once; and reading."""

import asyncio
import time
from dataclasses import dataclass

import msgspec

from bench.figures import percentile
from cloud.adapters.database import open_database
from cloud.adapters.sql_checkpoints import SqlCheckpoints
from cloud.adapters.sql_sessions import SqlSessions
from cloud.domain_sessions import NewTurn

_TURNS = 200
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Writes:
    """Milliseconds from asking for the lease to the acknowledged append of two turns."""

    p50_ms: float
    p95_ms: float
    at_once: int
    busy_p95_ms: float
    read_p95_ms: float
    """Of a window of 50 turns, as a prompt is made from."""


def measure(url: str) -> Writes:
    return asyncio.run(_measure(url))


async def _measure(url: str) -> Writes:
    async with open_database(url) as database:
        store = SqlSessions(database, lease_s=15, compaction_at=0.7)
        alone = await _write(store, "alone", _TURNS)
        busy = await asyncio.gather(
            *(_write(store, f"s{number}", _TURNS // _AT_ONCE) for number in range(_AT_ONCE))
        )
        read = [await _read(SqlCheckpoints(database, compaction_at=0.7)) for _ in range(_TURNS)]
    return Writes(
        p50_ms=percentile(alone, 0.5),
        p95_ms=percentile(alone, 0.95),
        at_once=_AT_ONCE,
        busy_p95_ms=percentile([taken for one in busy for taken in one], 0.95),
        read_p95_ms=percentile(read, 0.95),
    )


async def _read(store: SqlCheckpoints) -> float:
    began = time.perf_counter()
    window = await store.window("bench", "s0")
    assert len(window.turns) == 2 * (_TURNS // _AT_ONCE)
    return 1000 * (time.perf_counter() - began)


async def _write(store: SqlSessions, session: str, count: int) -> list[float]:
    taken = []
    for number in range(count):
        turns = [
            NewTurn(document=msgspec.json.encode({"role": role, "content": f"{number} " * 60}), tokens=100)
            for role in ("user", "assistant")
        ]
        began = time.perf_counter()
        lease = await store.take("bench", session, user=None)
        assert lease is not None, "each writer has a session of its own"
        await store.append(lease, turns, user=None, prompt_tokens=0, limit_tokens=10**9)
        taken.append(1000 * (time.perf_counter() - began))
    return taken
