"""The error budget's decision: tables, and what must hold whatever the samples."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.error_budget import BY_RULE, EXACT_ONLY, Bin, Budget, ErrorBudget, Namespace, Sample, held

BUDGET = Budget(max_wrong_hit_rate=0.01)
GOOD_TABLE = (
    Bin(score=0.7, right=500, wrong=40),
    Bin(score=0.8, right=800, wrong=2),
    Bin(score=0.9, right=900, wrong=0),
)
NAMESPACE = Namespace(tenant="acme", table="default")


def samples(count: int, *, score: float = BY_RULE, wrong: int = 0) -> list[Sample]:
    return [Sample(score=score, wrong=number < wrong) for number in range(count)]


@pytest.mark.parametrize(
    ("seen", "table", "floor", "threshold", "by"),
    [
        ([], (), BY_RULE, BY_RULE, "trust"),
        ([], (), 0.7, 0.7, "trust"),
        ([], GOOD_TABLE, 0.7, 0.8, "calibration"),
        ([], GOOD_TABLE, 0.85, 0.9, "calibration"),
        ([], (Bin(score=0.9, right=950, wrong=50),), 0.7, BY_RULE, "trust"),
        ([], (Bin(score=0.9, right=100, wrong=0),), 0.7, BY_RULE, "trust"),
        # One wrong hit among few refutes what was only trusted; among many it may be within the budget.
        (samples(3, wrong=1), (), BY_RULE, EXACT_ONLY, "nothing"),
        (samples(600, wrong=1), (), BY_RULE, BY_RULE, "samples"),
        (samples(600, wrong=9), (), BY_RULE, EXACT_ONLY, "nothing"),
        # The traffic speaks louder than the table, for better and for worse.
        (samples(400, score=0.75), GOOD_TABLE, 0.7, 0.7, "samples"),
        (samples(20, score=0.95, wrong=3), GOOD_TABLE, 0.7, BY_RULE, "trust"),
        # The bad ones below a threshold say nothing against it.
        (samples(20, score=0.75, wrong=9), GOOD_TABLE, 0.7, 0.8, "calibration"),
    ],
)
def test_the_lowest_threshold_that_keeps_the_budget(
    seen: list[Sample], table: tuple[Bin, ...], floor: float, threshold: float, by: str
) -> None:
    found = held(seen, table, floor=floor, budget=BUDGET)
    assert (found.threshold, found.by) == (threshold, by)


some_samples = st.lists(
    st.builds(Sample, score=st.sampled_from([0.7, 0.8, 0.9, 1.0]), wrong=st.booleans()), max_size=400
)
some_tables = st.lists(
    st.builds(Bin, score=st.sampled_from([0.5, 0.7, 0.8, 0.9]), right=st.integers(0, 900), wrong=st.integers(0, 9)),
    unique_by=lambda one: one.score, max_size=4,
)  # fmt: skip


@given(some_samples, some_tables, st.sampled_from([0.6, 0.8, 1.0]))
def test_a_threshold_is_never_below_the_verifiers_own_and_never_refuted(
    seen: list[Sample], table: list[Bin], floor: float
) -> None:
    found = held(seen, table, floor=floor, budget=BUDGET)
    assert found.threshold >= floor
    above = [one.wrong for one in seen if one.score >= found.threshold]
    if above:
        assert not sum(above) / len(above) > 0.5


@given(some_samples, some_tables)
def test_a_wrong_sample_at_the_top_never_lowers_the_threshold(seen: list[Sample], table: list[Bin]) -> None:
    before = held(seen, table, floor=0.6, budget=BUDGET).threshold
    after = held([*seen, Sample(score=BY_RULE, wrong=True)], table, floor=0.6, budget=BUDGET).threshold
    if len(seen) + 1 < BUDGET.least_evidence:
        assert after >= before


def test_a_budget_that_does_not_hold_falls_back_and_recovers() -> None:
    budget = ErrorBudget(budget=Budget(max_wrong_hit_rate=0.05, window=500))
    assert budget.record(NAMESPACE, samples(10, wrong=5)).is_exact_only
    assert budget.rate(NAMESPACE, BY_RULE) == 1.0
    assert not budget.of(Namespace(tenant="other", table="default")).is_exact_only
    assert not budget.record(NAMESPACE, samples(300)).is_exact_only
    assert budget.rate(NAMESPACE, BY_RULE) == budget.sampled


def test_the_true_rate_seldom_exceeds_the_budget_where_hits_are_served() -> None:
    chance = random.Random(5)
    broken = 0
    for _ in range(200):
        budget = ErrorBudget(floor=0.5, calibration=(Bin(score=0.5, right=0, wrong=10_000),))
        true_rate = {0.6: 0.03, 0.8: 0.012, 0.95: 0.001}
        for _ in range(12):
            scores = chance.choices(list(true_rate), k=100)
            seen = [Sample(score=score, wrong=chance.random() < true_rate[score]) for score in scores]
            budget.record(NAMESPACE, seen)
        served = [rate for score, rate in true_rate.items() if score >= budget.of(NAMESPACE).threshold]
        broken += bool(served) and sum(served) / len(served) > 0.01
    assert broken <= 20
