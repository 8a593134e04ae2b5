"""The table of the bundles becomes bars like those of every other command."""

from pathlib import Path

import pytest

from bench.__main__ import main
from bench.commands.models import render
from models.bars import Line


def test_what_has_a_bar_is_met_or_missed_and_what_has_none_only_stands_in_the_table() -> None:
    told = render(
        [
            Line(what="accuracy", bar=">= 0.9", measured="0.950", hit=True),
            Line(what="latency", bar="<= 1.5 ms", measured="2 ms", hit=False),
            Line(what="peak memory", bar="-", measured="233 MB", hit=True),
        ]
    )
    bars = told.partition("Bars:\n")[2].splitlines()
    assert bars == ["- met     accuracy >= 0.9: 0.950", "- MISSED  latency <= 1.5 ms: 2 ms"]
    assert "233 MB" in told


def test_without_the_collections_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "models", "--data", str(tmp_path)])
    monkeypatch.setattr("bench.__main__.end_on_signals", lambda: None)
    assert main() == 2
    assert str(tmp_path) in capsys.readouterr().err
