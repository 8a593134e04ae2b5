"""Shares with exact bounds, without a statistics package."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share and its two-sided interval (Clopper and Pearson, 1934)."""

    value: float
    bounds: tuple[float, float]


def share(hits: int, of: int, *, confidence: float = 0.95) -> Share:
    """`hits` out of `of`; of nothing, 0 with no knowledge."""
    if of == 0:
        return Share(value=0.0, bounds=(0.0, 1.0))
    tail = (1 - confidence) / 2
    return Share(value=hits / of, bounds=(_lower(hits, of, tail), upper_bound(hits, of, tail=tail)))


def upper_bound(hits: int, of: int, *, tail: float) -> float:
    """The largest rate at which at most `hits` of `of` still happen with probability `tail`."""
    if hits >= of:
        return 1.0
    return _crossing(lambda rate: _at_most(hits, of, rate) - tail)


def proves_at_most(rate: float, hits: int, of: int, *, confidence: float) -> bool:
    """Whether the upper bound of `hits` out of `of` does not exceed the rate."""
    return hits <= rate * of and _at_most(hits, of, rate) <= 1 - confidence


def proves_above(rate: float, hits: int, of: int, *, confidence: float) -> bool:
    """Whether the lower bound of `hits` out of `of` exceeds the rate."""
    return hits > rate * of and 1 - _at_most(hits - 1, of, rate) <= 1 - confidence


def _lower(hits: int, of: int, tail: float) -> float:
    if hits == 0:
        return 0.0
    return _crossing(lambda rate: tail - (1 - _at_most(hits - 1, of, rate)))


def _at_most(hits: int, of: int, rate: float) -> float:
    """Probability of at most `hits` among `of` independent trials."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return 1.0 if hits >= of else 0.0
    log_rate, log_rest = math.log(rate), math.log1p(-rate)
    whole = math.lgamma(of + 1)
    terms = (
        whole
        - math.lgamma(count + 1)
        - math.lgamma(of - count + 1)
        + count * log_rate
        + (of - count) * log_rest
        for count in range(hits + 1)
    )
    return min(1.0, sum(math.exp(term) for term in terms if term > -745))


def _crossing(falling: Callable[[float], float]) -> float:
    """Where a falling function of a rate in [0, 1] crosses zero."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if falling(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
