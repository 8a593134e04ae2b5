"""Figures of merit agree with cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibrate import fit_logistic, fit_temperature
from models.metrics import (
    auroc,
    average_recovered_gap,
    bootstrap_gap,
    calibration_error,
    calls_for,
    per_label,
    recall_at_kept,
    risk_coverage,
)

WEAK = np.array([1.0, 0.0, 1.0, 0.0])
STRONG = np.array([1.0, 1.0, 1.0, 1.0])


def test_a_perfect_ranking_has_auroc_one_and_ties_a_half() -> None:
    assert auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert auroc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 5), min_size=1, max_size=20)
)
def test_auroc_is_the_share_of_pairs_in_order(low: list[int], high: list[int]) -> None:
    pairs = [1.0 if one < other else 0.5 if one == other else 0.0 for one in low for other in high]
    found = auroc(np.array(low, dtype=float), np.array(high, dtype=float))
    assert found == pytest.approx(np.mean(pairs))


def test_recall_is_taken_where_95_percent_are_kept() -> None:
    inside = np.arange(100, dtype=float)
    assert recall_at_kept(inside, np.array([50.0, 94.0, 95.0, 200.0]), kept=0.95) == 0.5


def test_a_forecast_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    right = np.array([True, True, True, False])
    assert calibration_error(np.full(4, 0.75), right) == 0.0
    assert calibration_error(np.full(4, 1.0), right) == pytest.approx(0.25)


def test_risk_falls_with_coverage_when_confidence_tells() -> None:
    points = risk_coverage(
        np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, True, False, False]), coverages=(0.5, 1.0)
    )
    assert points == [(0.5, 0.0), (1.0, 0.5)]


def test_macro_f1_counts_every_label_alike() -> None:
    scores = {one.label: one.f1 for one in per_label(["a", "a", "a", "b"], ["a", "a", "a", "a"])}
    assert scores == {"a": pytest.approx(6 / 7), "b": 0.0}


def test_apgr_is_high_when_the_strong_model_is_called_where_it_helps() -> None:
    best = average_recovered_gap(np.array([0.0, 1.0, 0.0, 1.0]), WEAK, STRONG)
    worst = average_recovered_gap(np.array([1.0, 0.0, 1.0, 0.0]), WEAK, STRONG)
    assert best == pytest.approx(0.75)
    assert worst == pytest.approx(0.25)


def test_half_the_gap_is_recovered_by_the_first_useful_call() -> None:
    assert calls_for(np.array([0.0, 1.0, 0.0, 0.9]), WEAK, STRONG, gap=0.5) == 0.25


def test_a_bootstrap_interval_holds_the_figure() -> None:
    rng = np.random.default_rng(1)
    scores, weak = rng.random(300), (rng.random(300) < 0.5).astype(float)
    low, high = bootstrap_gap(scores, weak, np.ones(300), rounds=200, seed=2)
    assert low < average_recovered_gap(scores, weak, np.ones(300)) < high


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in chances])
    assert fit_temperature(logits * 4, truth) == pytest.approx(4.0, rel=0.1)


def test_platts_map_finds_the_logit_it_was_drawn_from() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=5000)
    truth = (rng.random(5000) < 1 / (1 + np.exp(-(2 * scores - 1)))).astype(float)
    scale, offset = fit_logistic(scores, truth)
    assert scale == pytest.approx(2, abs=0.25)
    assert offset == pytest.approx(-1, abs=0.2)


def test_separable_scores_give_a_finite_map() -> None:
    scale, offset = fit_logistic(np.array([0.0, 0.1, 5.0, 5.1]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([scale, offset]).all()
