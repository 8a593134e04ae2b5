"""The command line explains itself, and its parts work together as processes."""

import sys
from pathlib import Path

import pytest

from bench import __main__ as command_line
from bench.driving import generator, static_upstream
from bench.load import Job
from bench.progress import unseen
from bench.results import read


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as left:
        command_line.main()
    assert isinstance(left.value.code, int)
    return left.value.code


@pytest.mark.parametrize("command", [[], ["overhead"], ["soak"], ["start"]])
def test_every_command_explains_itself(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *command, "--help") == 0
    assert "usage: python -m bench" in capsys.readouterr().out


def test_an_unknown_peer_is_named_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "overhead", "--peers", "floor,nginx") == 2
    error = capsys.readouterr().err
    assert "nginx" in error
    assert "litellm" in error


@pytest.mark.parametrize("arguments", [["--requests", "0"], ["--edge-setting", "log_requests"]])
def test_values_that_make_no_sense_are_refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "overhead", *arguments) == 2


def test_the_generator_measures_the_window_and_reports_the_warm_up_apart() -> None:
    with static_upstream() as port:
        job = Job(
            port=port,
            headers={},
            model="static",
            questions="fixed",
            streaming="half",
            connections=4,
            warmup=20,
            requests=60,
        )
        with generator(job, unseen) as driver:
            assert (driver.warmup.sent, driver.warmup.faults) == (20, {})
            result = driver.run(unseen)
    assert (result.sent, len(result.latencies_us), result.faults) == (60, 60, {})
    assert 0 < result.generator_cpu_s < result.seconds


def test_a_command_that_cannot_run_writes_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "cache.json"
    monkeypatch.setattr(
        sys, "argv", ["bench", "cache", "--pairs", str(tmp_path / "none"), "--json", str(file)]
    )
    assert command_line.main() == 2
    assert "none" in read(file).failed
