"""From ranked passages to episodes: a passage with its neighbours, within a budget of tokens. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from cloud.memory.lexical import terms
from cloud.memory.passages import Passages

EACH_SIDE: Final = 2
NEAR_DUPLICATE: Final = 0.5
"""Share of the shorter statement's words that stand in the other, from which the newer goes first."""
LEAST_TOKENS: Final = 12
"""With less than this left of a budget, nothing worth telling fits."""
MOST_TERMS: Final = 10
"""Longer passages say more than one thing: they replace none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One episode: its rows in order, the row that was found, and its place in the ranking."""

    rows: tuple[int, ...]
    row: int
    score: float
    text: str


def episodes(
    passages: Passages,
    ranked: Sequence[int],
    scores: Sequence[float],
    *,
    limit: int,
    budget: int | None = None,
    tokens: Callable[[str], int] = len,
    each_side: int = EACH_SIDE,
    visible: npt.NDArray[np.bool_] | None = None,
) -> tuple[Found, ...]:
    """At most `limit` episodes, best first, of at most `budget` tokens together.

    A passage that stands in an episode already makes none of its own. What was found comes before what stands
    beside it: episodes have as many neighbours as leave room for all `limit` of them, and none where even
    passages alone fill the budget. Only `visible` neighbours are told, shape (passages,).
    """
    for reach in range(each_side, -1, -1):
        found = _reaching(
            passages, ranked, scores, reach, limit=limit, budget=budget, tokens=tokens, visible=visible
        )
        if len(found) >= min(limit, len(ranked)) or budget is None:
            break
    return found


def _reaching(
    passages: Passages,
    ranked: Sequence[int],
    scores: Sequence[float],
    reach: int,
    *,
    limit: int,
    budget: int | None,
    tokens: Callable[[str], int],
    visible: npt.NDArray[np.bool_] | None,
) -> tuple[Found, ...]:
    """Episodes of up to `reach` neighbours each side; one that does not fit is left out."""
    found: list[Found] = []
    taken: set[int] = set()
    left = budget
    for row, score in zip(ranked, scores, strict=True):
        if len(found) >= limit or (left is not None and left < LEAST_TOKENS):
            break
        if row in taken:
            continue
        near = passages.around(row, each_side=reach, visible=visible)
        rows = tuple(one for one in near if one not in taken)
        text = "\n".join(told(passages, one) for one in rows)
        cost = tokens(text) if left is not None else 0
        if left is None or cost <= left:
            found.append(Found(rows=rows, row=row, score=float(score), text=text))
            taken.update(rows)
            left = None if left is None else left - cost
    return tuple(found)


def told(passages: Passages, row: int) -> str:
    """A passage as a prompt shows it."""
    passage = passages.rows[row]
    head = ", ".join(part for part in (passage.date, passage.speaker) if part)
    return f"[{head}] {passage.text}" if head else passage.text


def newest_first(passages: Passages, ranked: Sequence[int], *, among: int = 20) -> list[int]:
    """The ranking with each passage behind newer ones that say nearly the same.

    Lexical scores put an outdated statement first more often than not; of two that share nearly all their
    words the newer is what holds now.
    """
    order = list(ranked)
    head = order[:among]
    words = {row: frozenset(terms(passages.rows[row].text)) for row in head}
    for index in range(len(head)):
        best = index
        for later in range(index + 1, len(head)):
            one, other = head[best], head[later]
            if _newer(passages, other, one) and _alike(words[head[index]], words[other]):
                best = later
        if best != index:
            head.insert(index, head.pop(best))
    return head + order[among:]


def _newer(passages: Passages, one: int, other: int) -> bool:
    first, second = passages.rows[one].at, passages.rows[other].at
    return first is not None and second is not None and first > second


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    smaller, larger = sorted((len(one), len(other)))
    return smaller > 0 and larger <= MOST_TERMS and len(one & other) >= NEAR_DUPLICATE * smaller
