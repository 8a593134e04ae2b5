"""A tiny load, end to end: Locust, a real edge, a real cloud, a script."""

from bench.load_run import Plan, Step, knee, measure, render
from bench.samples import Latency, RouteFigures


def test_a_load_drives_both_services_and_sees_where_answers_come_from() -> None:
    plan = Plan(
        rates=(8.0,), seconds=3.0, first_token_ms=5.0, tokens_per_s=0.0, edge_settings={"use_models": "false"}
    )
    loaded = measure(plan)
    [step] = loaded.steps
    assert step.sent > 5
    assert step.faults == {}
    assert {one.route for one in step.samples} <= {"exact", "forward"}
    assert all(0 < one.first_ms <= one.last_ms for one in step.samples)
    assert "forward" in render(loaded)


def step(rate: float, p99: float, faults: dict[str, int] | None = None) -> Step:
    times = Latency(p50=1, p90=2, p99=p99, most=p99)
    figures = RouteFigures(route="all", count=1, share=1.0, first=times, last=times, edge=times)
    return Step(
        rate=rate,
        sent=1,
        unsent=0,
        requests_per_s=rate,
        routes=[figures],
        faults=faults or {},
        details=[],
        late_p99_ms=0.0,
        samples=[],
    )


def test_the_knee_is_the_last_rate_before_latency_takes_off() -> None:
    assert knee([step(4, 100), step(16, 900), step(8, 150)]) == 8


def test_a_rate_at_which_requests_fail_is_past_the_knee() -> None:
    assert knee([step(4, 100), step(8, 100, {"refused": 1})]) == 4
    assert knee([step(4, 100, {"lost": 1})]) is None
