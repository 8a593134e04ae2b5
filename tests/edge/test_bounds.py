"""Clopper and Pearson's interval, against values from their tables and by its own definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bounds import proves_above, proves_at_most, share, upper_bound


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 100, 0.0003, 0.0545),
        (0, 0, 0.0, 1.0),
    ],
)
def test_known_intervals(hits: int, of: int, low: float, high: float) -> None:
    assert share(hits, of).bounds == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 3000), st.data())
def test_the_share_lies_in_its_interval_and_the_bound_falls_with_evidence(
    of: int, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, of))
    found = share(hits, of)
    assert found.bounds[0] <= found.value <= found.bounds[1]
    assert upper_bound(hits, of, tail=0.05) >= upper_bound(hits, of * 2, tail=0.05)


@given(st.integers(1, 2000), st.floats(0.001, 0.5), st.data())
def test_a_rate_is_proven_exactly_where_its_bound_says_so(of: int, rate: float, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, of))
    bound = upper_bound(hits, of, tail=0.05)
    if abs(bound - rate) > 1e-6:
        assert proves_at_most(rate, hits, of, confidence=0.95) == (bound <= rate)
    assert not (
        proves_at_most(rate, hits, of, confidence=0.95) and proves_above(rate, hits, of, confidence=0.95)
    )
