"""The money is right, what the edge answers is free, and wrong answers are counted against what it answered."""

import pytest

from bench.cost import ARMS, Costs, Price, Prices, priced
from bench.cost_replay import Asked
from bench.figures import interval
from bench.truth import Route
from bench.workload import Ticket, Turn

STRONG = Price(input_usd=2.0, output_usd=10.0, first_token_ms=500, tokens_per_s=50)
CHEAP = Price(input_usd=0.2, output_usd=1.0, first_token_ms=100, tokens_per_s=100)
PRICES = Prices(source="here", strong=STRONG, cheap=CHEAP)
TICKETS = [Ticket(turns=(Turn(text="a", meaning="a"),))] * 2


def asked(route: Route = "forward", *, model: str = "strong", fault: str | None = None) -> Asked:
    return Asked(route=route, model=model, input_tokens=1000, output_tokens=100, measured_ms=5.0, fault=fault)


def test_a_ticket_costs_what_its_tokens_cost_at_the_model_that_answered() -> None:
    run = priced("wayside", 1, TICKETS, [asked(), asked(model="cheap")], PRICES)
    assert run.usd_per_ticket == pytest.approx((0.003 + 0.0003) / 2)
    assert run.by_model == {"strong": 1, "cheap": 1}


def test_what_the_edge_answers_costs_neither_tokens_nor_a_models_time() -> None:
    run = priced("wayside", 1, TICKETS, [asked("exact"), asked("local")], PRICES)
    assert (run.usd_per_ticket, run.input_tokens, run.at_edge) == (0.0, 0, 2)
    assert run.p95_ms == 5.0


def test_a_models_time_is_its_first_token_and_its_pace() -> None:
    assert priced("strong", 1, TICKETS, [asked()], PRICES).p50_ms == 5.0 + 500 + 2000


def test_a_wrong_answer_counts_as_wrong_and_a_lost_one_as_failed() -> None:
    run = priced(
        "wayside", 1, TICKETS, [asked("semantic", fault="wrong"), asked("none", fault="lost")], PRICES
    )
    assert (run.wrong, run.at_edge, run.faults) == (1, 1, {"lost": 1})


def test_saving_is_taken_seed_by_seed() -> None:
    runs = [
        priced(arm, seed, TICKETS, [asked(model="cheap" if arm == "cheap" else "strong")] * seed, PRICES)
        for arm in ARMS
        for seed in (1, 2)
    ]
    costs = Costs(workload="support", tickets=2, seeds=(1, 2), prices=PRICES, runs=runs)
    assert costs.saving("cheap").mean == pytest.approx(0.9)
    assert costs.saving("cheap").half == pytest.approx(0.0, abs=1e-9)


def test_an_interval_widens_with_spread_and_is_unknown_for_one_value() -> None:
    assert interval([3.0]).half == 0.0
    assert interval([1.0, 2.0, 3.0]).half == pytest.approx(4.303 / 3**0.5)
