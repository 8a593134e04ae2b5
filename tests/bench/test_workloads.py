"""Traffics are seeded, come when they should, and know which answers may stand for which."""

from itertools import islice, takewhile

import pytest

from bench.answers import Said
from bench.truth import Truth, edge_ms, known_answer, route_of
from bench.workload import DATA, ECHO, Ticket, Turn, bursting, poisson, replayed
from bench.workloads import WORKLOADS, support

NEEDS = {"banking77": DATA / "banking77" / "test.csv", "trace": DATA / "trace_azure_llm"}


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_seed_gives_the_same_tickets_again_and_another_seed_gives_others(name: str) -> None:
    if name in NEEDS and not NEEDS[name].exists():
        pytest.skip(f"needs {NEEDS[name]}")
    tickets = WORKLOADS[name].tickets
    first = list(islice(tickets(1), 30))
    assert first == list(islice(tickets(1), 30))
    assert first != list(islice(tickets(2), 30))


def test_poisson_arrivals_rise_and_come_at_the_rate() -> None:
    times = list(takewhile(lambda at: at < 1000, poisson(5, seed=3)))
    assert times == sorted(times)
    assert len(times) == pytest.approx(5000, rel=0.05)


def test_a_burst_is_ten_times_as_dense_as_the_rest() -> None:
    times = list(takewhile(lambda at: at < 4000, bursting(2, seed=3)))
    inside = sum(at % 20 >= 15 for at in times)
    assert inside / 1000 == pytest.approx(20, rel=0.05)
    assert (len(times) - inside) / 3000 == pytest.approx(2, rel=0.05)


def test_a_recorded_trace_goes_on_lap_after_lap_at_the_speed_asked_for() -> None:
    assert list(islice(replayed([0.0, 1.0, 3.0], speed=2), 5)) == [0.0, 0.5, 1.5, 2.0, 2.5]


def test_no_wording_of_the_support_workload_has_two_meanings() -> None:
    wordings = [wording for _, said in support.own() for wording in said]
    assert len(wordings) == len(set(wordings))


def judged(asked: Ticket, turn: int, text: str, *, others: tuple[Ticket, ...] = ()) -> str | None:
    truth = Truth()
    for ticket in (*others, asked):
        truth.asked(ticket)
    fault = truth.judge(asked, turn, Said(text=text, finish_reason="stop"), "semantic")
    return fault.kind if fault else None


def ticket(text: str, meaning: str, *follow_ups: str) -> Ticket:
    first = Turn(text=text, meaning=meaning)
    return Ticket(turns=(first, *(Turn(text=more, meaning=more) for more in follow_ups)))


def echo(text: str, first: str) -> str:
    return ECHO.replace("{text}", text).replace("{first}", first)


def test_an_answer_made_for_other_words_of_the_same_meaning_is_right() -> None:
    other = ticket("When is it there?", "delivery")
    asked = ticket("How long does it take?", "delivery")
    assert judged(asked, 0, echo("When is it there?", "When is it there?"), others=(other,)) is None


def test_an_answer_made_for_another_meaning_is_wrong() -> None:
    other = ticket("What does it cost?", "price")
    asked = ticket("How long does it take?", "delivery")
    text = echo("What does it cost?", "What does it cost?")
    assert judged(asked, 0, text, others=(other,)) == "wrong"


def test_the_same_follow_up_of_another_conversation_is_wrong() -> None:
    other = ticket("What does it cost?", "price", "Why?")
    asked = ticket("How long does it take?", "delivery", "Why?")
    assert judged(asked, 1, echo("Why?", "What does it cost?"), others=(other,)) == "wrong"
    assert judged(asked, 1, echo("Why?", "How long does it take?"), others=(other,)) is None


def test_an_operators_answer_is_judged_by_what_it_is_for() -> None:
    asked = ticket("How long does it take?", "delivery")
    assert judged(asked, 0, known_answer("delivery")) is None
    assert judged(asked, 0, known_answer("price")) == "wrong"


@pytest.mark.parametrize(
    ("headers", "route"),
    [
        ({"wayside-route": "cache", "cache-status": "wayside; hit; ttl=9; detail=exact"}, "exact"),
        ({"wayside-route": "cache", "cache-status": "wayside; hit; ttl=9; detail=semantic"}, "semantic"),
        ({"wayside-route": "local", "cache-status": "wayside; hit; ttl=9; detail=knowledge"}, "local"),
        (
            {"wayside-route": "cloud", "cache-status": 'wayside; fwd=miss; detail="x; hit; detail=exact"'},
            "forward",
        ),
        ({}, "none"),
    ],
)
def test_the_route_is_read_from_the_headers(headers: dict[str, str], route: str) -> None:
    assert route_of(headers) == route


def test_the_edges_own_time_leaves_the_upstream_out() -> None:
    assert edge_ms({"server-timing": "read;dur=0.5, encode;dur=3.25, upstream;dur=900.1"}) == 3.75
