"""Compaction under fire: writers and folders as processes, killed at random; then every turn is counted."""

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from bench.progress import Bar
from cloud.adapters.database import open_database
from cloud.adapters.sql_checkpoints import SqlCheckpoints
from cloud.adapters.sql_sessions import SqlSessions
from cloud.adapters.tokens import ByteTokens
from cloud.domain_sessions import NewTurn, State, Summary, Turn
from cloud.memory.compact import Compactor
from cloud.memory.fold import FoldPolicy
from cloud.memory.summarize import ExtractiveSummarizer
from cloud.ports import Tokens
from cloud.session_leases import Leases
from cloud.wire.errors import WaysideError
from cloud.wire.service.observe import Log

_TENANT = "bench"
_LIMIT_TOKENS = 1200
_LEASE_S = 1.0
_SLOWEST_SUMMARY_S = 0.05
_TOKENS = ByteTokens()
_ROUND_S = 0.12
"""Between two kills, on average: long enough for what was started to do something worth killing."""
_SETTLE_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    rounds: int = 500
    """Kills, each of one process at a random moment."""
    writers: int = 32
    writer_processes: int = 4
    folder_processes: int = 2
    sessions: int = 8
    seed: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Burnt:
    """What was left of it. All but the first four should be 0."""

    rounds: int
    acknowledged: int
    turns: int
    checkpoints: int
    lost: int
    """Exchanges that were acknowledged and are not there."""
    duplicated: int
    reordered: int
    gaps: int
    """Seqs that are missing, or stand neither in a prompt nor behind its checkpoint."""
    empty_checkpoints: int
    too_long_checkpoints: int
    seconds: float

    @property
    def is_clean(self) -> bool:
        faults = (self.lost, self.duplicated, self.reordered, self.gaps)
        return not any((*faults, self.empty_checkpoints, self.too_long_checkpoints)) and self.checkpoints > 0


def burn(url: str, folder: Path, plan: Plan, shown: Bar) -> Burnt:
    """Run it. This process must have no threads and no event loop: it forks."""
    began = time.monotonic()
    asyncio.run(_prepare(url))
    acknowledged, published = (folder / f"{name}-{time.monotonic_ns()}" for name in ("kept", "published"))
    for file in (acknowledged, published):
        file.touch()
    chance = random.Random(plan.seed)  # noqa: S311 - no secret
    tasks: list[Callable[[], None]] = []
    per_process = plan.writers // plan.writer_processes
    for number in range(plan.writer_processes):
        names = [f"w{number * per_process + at}" for at in range(per_process)]
        tasks.append(_Writing(url, acknowledged, names, plan.sessions))
    tasks.extend(_Folding(url, published, plan.sessions) for _ in range(plan.folder_processes))
    fork = multiprocessing.get_context("fork")
    running: list[BaseProcess] = []
    try:
        for task in tasks:
            running.append(fork.Process(target=task, daemon=True))
            running[-1].start()
        for number in range(plan.rounds):
            time.sleep(chance.uniform(0.2, 1.8) * _ROUND_S)
            victim = chance.randrange(len(tasks))
            pid = running[victim].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            running[victim].join()
            running[victim] = fork.Process(target=tasks[victim], daemon=True)
            running[victim].start()
            shown.reached(number + 1)
    finally:
        for process in running:
            process.kill()
            process.join()
    kept, said_of = acknowledged.read_text("utf-8"), published.read_text("utf-8").split()
    return asyncio.run(_counted(url, kept, said_of, plan, began))


async def _prepare(url: str) -> None:
    async with open_database(url):
        """The schema is there before anybody is killed."""


@dataclass(frozen=True, slots=True)
class _Writing:
    """A process of writers: each says what it appended only once it was acknowledged."""

    url: str
    acknowledged: Path
    names: Sequence[str]
    sessions: int

    def __call__(self) -> None:
        asyncio.run(self._write())

    async def _write(self) -> None:
        random.seed()
        out = os.open(self.acknowledged, os.O_WRONLY | os.O_APPEND)
        async with open_database(self.url) as database:
            store = SqlSessions(database, lease_s=_LEASE_S, compaction_at=0.7)
            leases = Leases(store, conflict="wait", wait_s=30, term_s=_LEASE_S)
            await asyncio.gather(*(self._one(name, leases, out) for name in self.names))

    async def _one(self, name: str, leases: Leases, out: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            session = f"s{random.randrange(self.sessions)}"  # noqa: S311 - no secret
            number = time.monotonic_ns()
            try:
                lease = await leases.take(_TENANT, session, user=None, deadline=loop.time() + 30)
                await leases.append(
                    lease,
                    [
                        _said("user", f"{name} {number} asks: is my number {number % 1000} or not?"),
                        _said("assistant", f"{name} {number} hears: yes, it is {number % 1000}, I believe."),
                    ],
                    user=None,
                    prompt_tokens=0,
                    limit_tokens=_LIMIT_TOKENS,
                )
            except WaysideError:
                continue  # not acknowledged, not counted on
            os.write(out, f"{session} {name} {number}\n".encode())


@dataclass(frozen=True, slots=True)
class _Folding:
    """A process that folds every session over and over, twice at a time, whoever else does."""

    url: str
    published: Path
    sessions: int

    def __call__(self) -> None:
        asyncio.run(self._fold())

    async def _fold(self) -> None:
        random.seed()
        out = os.open(self.published, os.O_WRONLY | os.O_APPEND)
        async with open_database(self.url) as database:
            checkpoints = SqlCheckpoints(database, compaction_at=0.7)
            folding = _compactor(checkpoints)

            async def over_and_over() -> None:
                while True:
                    session = f"s{random.randrange(self.sessions)}"  # noqa: S311 - no secret
                    try:
                        if await folding.fold(_TENANT, session):
                            state = (await checkpoints.window(_TENANT, session)).state
                            os.write(out, b"empty\n" if state.is_empty else b"good\n")
                    except WaysideError:
                        await asyncio.sleep(0.01)
                    await asyncio.sleep(0.005)

            await asyncio.gather(over_and_over(), over_and_over(), folding.run())


class _Slow:
    """The extractive summarizer, taking its time."""

    def __init__(self) -> None:
        self._inner = ExtractiveSummarizer()

    async def summarize(
        self, turns: Sequence[Turn], previous: State, *, tenant: str, max_tokens: int, tokens: Tokens
    ) -> Summary:
        await asyncio.sleep(random.uniform(0, _SLOWEST_SUMMARY_S))  # noqa: S311 - no secret
        return await self._inner.summarize(
            turns, previous, tenant=tenant, max_tokens=max_tokens, tokens=tokens
        )


def _compactor(store: SqlCheckpoints) -> Compactor:
    return Compactor(
        store=store,
        summarizer=_Slow(),
        fallback=ExtractiveSummarizer(),
        tokens_of=lambda _: _TOKENS,
        policy=FoldPolicy(),
        log=Log(service="bench", out=open(os.devnull, "w", encoding="utf-8")),
        poll_s=0.05,
    )


def _said(role: str, content: str) -> NewTurn:
    document = msgspec.json.encode({"role": role, "content": content})
    return NewTurn(document=document, tokens=len(content) + 8, model="m" if role == "assistant" else None)


async def _counted(url: str, kept: str, said_of: Sequence[str], plan: Plan, began: float) -> Burnt:
    lines = [line.split() for line in kept.splitlines()]
    expected = {(session, name, number) for session, name, number in lines}
    lost = duplicated = reordered = gaps = turns = checkpoints = long = 0
    empty = said_of.count("empty")
    async with open_database(url) as database:
        store = SqlSessions(database, lease_s=_LEASE_S, compaction_at=0.7)
        states = SqlCheckpoints(database, compaction_at=0.7)
        folding = _compactor(states)
        for number in range(plan.sessions):
            session = f"s{number}"
            # What the last killed folder left is done by the next one.
            give_up = time.monotonic() + _SETTLE_S
            while await folding.fold(_TENANT, session) and time.monotonic() < give_up:
                pass
            log = await _all(store, session)
            turns += len(log)
            gaps += [turn.seq for turn in log] != list(range(1, len(log) + 1))
            said = [tuple(turn.text.split()[:2]) for turn in log]
            pairs = list(zip(said[::2], said[1::2], strict=True)) if len(said) % 2 == 0 else []
            reordered += sum(asked != heard for asked, heard in pairs) + (len(said) % 2)
            times = Counter(asked for asked, _ in pairs)
            duplicated += sum(count - 1 for count in times.values())
            mine = {(name, stamp) for where, name, stamp in expected if where == session}
            lost += len(mine - times.keys())
            for name in {name for name, _ in times}:
                stamps = [int(stamp) for who, stamp in (asked for asked, _ in pairs) if who == name]
                reordered += stamps != sorted(stamps)
            window = await states.window(_TENANT, session, from_oldest=True)
            state = window.state
            checkpoints += state.version
            empty += state.version > 0 and state.is_empty
            long += state.version > 0 and len(msgspec.json.encode(state)) > 8 * _LIMIT_TOKENS
            gaps += [turn.seq for turn in window.turns] != list(
                range(state.covered_through + 1, len(log) + 1)
            )[: len(window.turns)]
    return Burnt(
        rounds=plan.rounds,
        acknowledged=len(expected),
        turns=turns,
        checkpoints=checkpoints,
        lost=lost,
        duplicated=duplicated,
        reordered=reordered,
        gaps=gaps,
        empty_checkpoints=empty,
        too_long_checkpoints=long,
        seconds=time.monotonic() - began,
    )


async def _all(store: SqlSessions, session: str) -> list[Turn]:
    found: list[Turn] = []
    while page := await store.turns(_TENANT, session, after=found[-1].seq if found else 0):
        found.extend(page)
    return found
