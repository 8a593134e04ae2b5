"""What a workload is made of: tickets of turns, and the truth about which answers may stand for which."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
"""Public data sets, beside the repository; what needs one says so where it is absent."""

FILLING = (
    "You find all of it on your account page. Open it, choose the order or the plan it is about, and follow "
    "the steps there; we confirm each by mail within a few minutes. If anything is unclear, answer this "
    "message and a person takes over."
)
"""What makes a scripted answer as long as a usual one: some sixty tokens."""
ECHO = "You asked: {text} @@ You began with: {first} @@"
"""By this an answer says which question it was made for, so that one served to another is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One question of a ticket."""

    text: str
    meaning: str
    """Questions with the same meaning, after histories with the same meaning, may share an answer."""
    pause_s: float = 0.0
    """From the end of the answer before it, as a person who reads it would."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """One conversation. Its first turn comes when it comes, whatever happened to others before."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    max_tokens: int | None = None

    def meaning(self, turn: int) -> str:
        """Of that turn, and of what its conversation began with."""
        return meant(self.turns[0].meaning, self.turns[turn].meaning if turn else None)


def meant(first: str, last: str | None) -> str:
    return first if last is None else f"{first} > {last}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A traffic: what is asked, and when."""

    name: str
    tickets: Callable[[int], Iterator[Ticket]]
    """By seed; without end."""
    arrivals: Callable[[float, int], Iterator[float]]
    """By tickets a second and seed: seconds since the start, rising, without end."""
    reply: str = f"{ECHO} {FILLING}"
    """Of the scripted provider, in place of a model's."""
    knowledge: tuple[tuple[tuple[str, ...], str], ...] = ()
    """What an operator would have told the edge beforehand: questions, and the meaning they share."""


class Zipf:
    """Draws a rank below `count`: rank r comes with a weight of 1 / (r + 1) ** exponent."""

    def __init__(self, count: int, *, exponent: float = 1.0) -> None:
        self._ranks = range(count)
        self._weights = list(accumulate(1 / (rank + 1) ** exponent for rank in range(count)))

    def draw(self, chance: random.Random) -> int:
        return chance.choices(self._ranks, cum_weights=self._weights)[0]


def poisson(rate: float, seed: int) -> Iterator[float]:
    """Arrivals of people who know nothing of each other."""
    chance = random.Random(seed)  # noqa: S311  # reproducible traffic, not a secret
    now = 0.0
    while True:
        now += chance.expovariate(rate)
        yield now


def bursting(
    rate: float, seed: int, *, factor: float = 10.0, every_s: float = 20.0, lasts_s: float = 5.0
) -> Iterator[float]:
    """Poisson arrivals whose rate is `factor` times as high in the last `lasts_s` of each `every_s`.

    Thinned from the highest rate (Lewis and Shedler, 1979).
    """
    chance = random.Random(-seed - 1)  # noqa: S311  # reproducible traffic, not a secret
    for at in poisson(rate * factor, seed):
        if at % every_s >= every_s - lasts_s or chance.random() < 1 / factor:
            yield at


def replayed(offsets: Sequence[float], *, speed: float) -> Iterator[float]:
    """Recorded arrivals, over and over, `speed` times as fast."""
    lap = offsets[-1] + (offsets[-1] - offsets[0]) / len(offsets)
    start = 0.0
    while True:
        for at in offsets:
            yield (start + at) / speed
        start += lap
