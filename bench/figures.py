"""The statistics of the reports: percentiles, medians, spreads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """One figure over several rounds."""

    median: float
    least: float
    most: float

    def show(self, digits: int = 0) -> str:
        """The median, and least to most when there was more than one round."""
        middle = f"{self.median:,.{digits}f}"
        if self.least == self.most:
            return middle
        return f"{middle} ({self.least:,.{digits}f}-{self.most:,.{digits}f})"


def spread(values: Sequence[float]) -> Spread:
    """Raises ValueError without values."""
    if not values:
        raise ValueError("a spread needs at least one value")
    return Spread(median=median(values), least=min(values), most=max(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value that `share` of all values do not exceed."""
    if not values or not 0 < share <= 1:
        raise ValueError("a percentile needs values and a share in (0, 1]")
    return sorted(values)[math.ceil(share * len(values)) - 1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval, by Student's t; of one value it is unknown (0 wide)."""

    mean: float
    half: float

    def show(self, digits: int) -> str:
        return f"{self.mean:,.{digits}f}" + (f" ±{self.half:,.{digits}f}" if self.half else "")

    def show_share(self) -> str:
        return f"{self.mean:.1%}" + (f" ±{self.half:.1%}" if self.half else "")


_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""The 97.5th percentile of Student's t for 1, 2, … degrees of freedom; 1.96 from there on is near enough."""


def interval(values: Sequence[float]) -> Interval:
    """Raises ValueError without values."""
    if not values:
        raise ValueError("an interval needs at least one value")
    if len(values) == 1:
        return Interval(mean=values[0], half=0.0)
    t = _T_975[len(values) - 2] if len(values) - 2 < len(_T_975) else 1.96
    return Interval(mean=fmean(values), half=t * stdev(values) / math.sqrt(len(values)))
