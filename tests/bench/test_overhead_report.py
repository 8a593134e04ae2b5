"""The report shows failures, missing peers and missed bars, and never flatters."""

from bench.load import Described
from bench.overhead import Measured, Plan, Row
from bench.overhead_report import bars_of, ours_failed, ratio_to_floor, render
from bench.overhead_rows import Mode


def measured(cpu_us: float, *, faults: int = 0) -> Measured:
    return Measured(
        cpu_us=cpu_us,
        p50_ms=1.0,
        p99_ms=2.0,
        alone_p50_ms=0.5,
        alone_p99_ms=1.0,
        requests_per_s=1000.0,
        rss_bytes=60_000_000,
        generator_share=0.3,
        sent=3300,
        faults={"half": faults} if faults else {},
        described=[Described(kind="half", detail="the stream ends without [DONE]", count=faults)]
        if faults
        else [],
    )


def row(name: str, *cpu_us: float, mode: Mode = "JSON", faults: int = 0, reason: str | None = None) -> Row:
    return Row(
        name=f"{name} ({mode})",
        mode=mode,
        is_ours=name == "wayside edge",
        version="1.0",
        rounds=tuple(measured(value, faults=faults) for value in cpu_us),
        reason=reason,
    )


FLOOR = row("floor", 200.0, 400.0, 200.0)


def test_ratios_compare_what_was_measured_in_the_same_round() -> None:
    ratio = ratio_to_floor(row("wayside edge", 400.0, 800.0, 380.0), [FLOOR])
    assert ratio is not None
    assert (ratio.least, ratio.median, ratio.most) == (1.9, 2.0, 2.0)


def test_there_is_no_ratio_to_the_floor_of_another_mode() -> None:
    assert ratio_to_floor(row("wayside edge", 400.0, 800.0, 380.0, mode="SSE"), [FLOOR]) is None


def test_a_peer_that_did_not_run_is_named_with_the_reason() -> None:
    text = render(Plan(), [row("wayside edge", 400.0), row("smg", reason="cannot be installed: no wheel")])
    assert "| smg (JSON)" in text
    assert "not run" in text
    assert "smg (JSON): cannot be installed: no wheel" in text


def test_a_peer_that_stopped_after_a_round_shows_its_figures_and_the_reason() -> None:
    text = render(Plan(), [row("wayside edge", 400.0), row("smg", 100.0, reason="smg ended: out of memory")])
    assert "smg ended: out of memory" in text
    assert "not run" not in text


def test_failed_answers_are_counted_and_described() -> None:
    text = render(Plan(), [row("wayside edge", 400.0, 410.0, faults=2)])
    assert "4 (4 half)" in text
    assert "2 x half: the stream ends without [DONE]" in text


def test_only_failures_of_ours_fail_the_run() -> None:
    assert not ours_failed([row("wayside edge", 400.0), row("litellm", 6000.0, faults=3)])
    assert ours_failed([row("wayside edge", 400.0, faults=1)])
    assert ours_failed([row("wayside edge", reason="wayside edge ended: no key")])


def test_bars_are_met_or_missed_on_the_median() -> None:
    rows = [row("wayside edge", 440.0, 900.0, 445.0), row("portkey", 430.0, 440.0, 444.0)]
    assert [bar.is_met for bar in bars_of(rows)] == [True, False, True]


def test_a_missed_bar_is_printed_as_missed() -> None:
    assert "MISSED  forwarding costs at most 450 us of CPU: 500 us" in render(
        Plan(), [row("wayside edge", 500.0)]
    )
