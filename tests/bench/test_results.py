"""Runs are compared by ratios, and noise in a round is not called a regression."""

from pathlib import Path

import msgspec
import pytest

from bench.machine import Machine
from bench.markdown import to_html
from bench.page import html, markdown
from bench.reporting import CannotRun
from bench.results import Result, compare, ratios_of, read

MACHINE = Machine(cpu="<CPU>", cores=2, python="3.11", kernel="6", date="2026", commit="abc", load_1_min=0.1)


def row(name: str, *cpu_us: float, is_ours: bool = True, floor: str = "floor") -> dict[str, object]:
    rounds = [{"cpu_us": value} for value in cpu_us]
    return {"name": f"{name} (JSON)", "mode": "JSON", "is_ours": is_ours, "rounds": rounds, "floor": floor}


def result(command: str, figures: object, text: str = "") -> Result:
    return Result(command=command, machine=MACHINE, figures=figures, text=text)


def test_cpu_is_compared_with_the_floor_of_the_same_round() -> None:
    rows = [row("edge", 300.0, 500.0), row("floor", 100.0, 200.0, is_ours=False)]
    assert ratios_of(result("overhead", {"rows": rows})) == {"CPU of edge (JSON) to floor": [3.0, 2.5]}


def test_a_row_is_left_out_where_its_floor_missed_a_round() -> None:
    rows = [row("edge", 300.0, 500.0), row("floor", 100.0, is_ours=False)]
    assert ratios_of(result("overhead", {"rows": rows})) == {}


@pytest.mark.parametrize(
    ("new", "regressed"),
    [
        ([1.0, 1.0, 9.0], False),  # one bad round
        ([1.3, 1.25, 1.31], False),  # worse, within tolerance of the old rounds' worst
        ([1.6, 1.7, 1.65], True),
        ([0.5, 0.5, 0.5], False),
    ],
)
def test_a_regression_is_worse_in_every_round(new: list[float], *, regressed: bool) -> None:
    [change] = compare({"r": [1.0, 1.1, 0.9]}, {"r": new, "unknown": [1.0]}, tolerance=0.35)
    assert change.is_regression is regressed


def test_a_file_that_is_no_result_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(CannotRun, match=r"x\.json"):
        read(tmp_path / "x.json")


def test_tables_lists_and_bars_become_html_and_nothing_of_them_is_markup() -> None:
    page = to_html(
        "## one: two\n\n| a<b | n |\n|---|---|\n| x | 1 |\n\nBars:\n- met     fast: 1\n- MISSED  small: 2"
    )
    assert "<h2>one<small>two</small></h2>" in page
    assert "a&lt;b" in page
    assert page.count("<tr>") == 4
    assert 'class="met"' in page
    assert 'class="missed"' in page


def test_the_page_needs_no_network_and_shows_every_result() -> None:
    endured = {"sizes": [{"done": 1, "rss_bytes": 5e6}, {"done": 2, "rss_bytes": 6e6}], "requests": 2}
    found = [
        result("endurance", endured, "## endurance: here\n\n- MISSED  small: no"),
        result("start", {}, "## start: <x>"),
    ]
    page = html(found)
    assert "src=" not in page
    assert "@import" not in page
    assert page.count("<svg") == 1
    assert "0 bars met, 1 missed" in page
    assert "&lt;CPU&gt;" in page
    assert "## start: <x>" in markdown(found)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(msgspec.json.encode(result("start", {"a": 1}, "text")))
    assert read(path).figures == {"a": 1}


def test_a_part_that_could_not_be_measured_stands_on_the_page_with_its_reason() -> None:
    broken = Result(
        command="cache", machine=MACHINE, figures=None, text="## cache: FAILED\n\nno file", failed="no file"
    )
    page = html([broken])
    assert "without figures: cache" in page
    assert 'class="failed"' in page
    assert "no file" in page
    assert ratios_of(broken) == {}


def test_the_page_draws_hits_against_errors() -> None:
    point = {"coverage": 0.5, "trap_serve_rate": 0.1}
    sweep = [{"threshold": at, **point} for at in (0.5, 0.9)]
    figures = {**point, "sweep": sweep, "cosine": sweep, "peers": {"GPTCache 1, rule": point}}
    one, several = html([result("cache", figures)]), html([result("cache", {"a": figures, "b": figures})])
    assert one.count("Hits against errors") == 1
    assert several.count("Hits against errors") == 2
