"""Answers cut at random places, many side by side: none may look whole to a client."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Final

from bench.fault_services import Pair, fault_services
from bench.fault_upstream import WORDS

AT_ONCE: Final = 32
_WHOLE: Final = " ".join(WORDS)
_NEVER: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cuts:
    """What became of the answers."""

    asked: int
    connections: int
    """That were cut: an answer may be tried again, and cut again."""
    false_successes: int
    """Cut answers that a client could take for whole ones."""
    seconds: float

    @property
    def per_s(self) -> float:
        return self.asked / self.seconds if self.asked else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cut:
    at: int
    falls_back: bool
    streams: bool


def cut(count: int, *, buffered: bool, seed: int, seen: Callable[[int], None]) -> Cuts:
    """`seen` is told how many are done. Breakers stay closed, or they would spare most answers the cut."""
    rng = random.Random(seed)  # noqa: S311
    cuts = [
        _Cut(at=rng.randrange(len(WORDS)), falls_back=rng.random() < 0.5, streams=rng.random() < 0.5)
        for _ in range(count)
    ]
    lanes = min(AT_ONCE, max(1, count))
    with (
        fault_services(lanes, buffered=buffered, breaker_failures=_NEVER) as (ask, pairs),
        ThreadPoolExecutor(lanes) as threads,
    ):
        free: SimpleQueue[Pair] = SimpleQueue()
        for pair in pairs:
            free.put(pair)

        def is_wrong(one: _Cut) -> bool:
            pair = free.get()
            try:
                pair.primary.set("random cut", cut_at=one.at)
                pair.backup.set("rejects prefill")
                got = ask(pair.main if one.falls_back else pair.alone, streams=one.streams)
                return got.finished and got.text != _WHOLE
            finally:
                free.put(pair)

        began = time.monotonic()
        wrong = 0
        for done, one in enumerate(threads.map(is_wrong, cuts), start=1):
            wrong += one
            seen(done)
        seconds = time.monotonic() - began
        connections = sum(pair.primary.cuts for pair in pairs)
    return Cuts(asked=count, connections=connections, false_successes=wrong, seconds=seconds)
