"""The statistics are right."""

import random
import statistics

import pytest

from bench.figures import percentile, spread


def test_percentiles_are_values_that_were_measured() -> None:
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    assert percentile(values, 0.50) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 100
    assert percentile([7], 0.99) == 7


def test_a_single_slow_request_in_a_hundred_is_not_the_99th_percentile_but_two_are() -> None:
    assert percentile([1] * 99 + [50], 0.99) == 1
    assert percentile([1] * 98 + [50, 50], 0.99) == 50


def test_the_middle_percentile_is_near_the_median() -> None:
    values = [random.Random(seed).random() for seed in range(999)]
    assert percentile(values, 0.5) == statistics.median(values)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1], 0.0), ([1], 1.1)])
def test_a_percentile_of_nothing_is_refused(values: list[int], share: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, share)


def test_a_spread_shows_its_ends_only_when_there_are_any() -> None:
    assert spread([3.0, 1.0, 2.0]).show(1) == "2.0 (1.0-3.0)"
    assert spread([1234.0]).show() == "1,234"
    with pytest.raises(ValueError, match="at least one"):
        spread([])
