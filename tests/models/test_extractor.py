"""Fitting the sentence extractor: its labels, and that it learns what the data say."""

import gzip
import json
from pathlib import Path

import pytest

from cloud.memory.extractor import spoken
from models.extractor import FILES, fit_extractor, oracle
from models.rows import DataRefused


def meetings(folder: Path, turns: list[str], topic: str) -> Path:
    (folder / "qmsum").mkdir()
    span = [["0", str(len(turns) - 1)]]
    meeting = {
        "meeting_transcripts": [{"speaker": "A", "content": text} for text in turns],
        "topic_list": [{"topic": topic, "relevant_text_span": span}],
    }
    for name in FILES:
        with gzip.open(folder / "qmsum" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as stream:
            stream.write(f"{json.dumps(meeting)}\n" * 8)
    return folder


def test_the_oracle_takes_what_shares_words_with_the_text_and_nothing_that_adds_none() -> None:
    said = [spoken(turn, 0, text) for turn, text in enumerate(("hello all", "the red budget", "see you"))]
    assert oracle(said, "The red budget") == {1}
    assert oracle(said, "penguins") == frozenset()


@pytest.mark.parametrize("at", [0, 4])
def test_the_fit_learns_where_the_topic_is_named_and_is_the_same_each_time(tmp_path: Path, at: int) -> None:
    turns = ["some other words here"] * 5
    turns[at] = "the colour of the remote control"
    data = meetings(tmp_path, turns, "colour of the remote control")
    fitted = fit_extractor(data, tmp_path / "one.json")
    assert (fitted.weights["place"] < 0) is (at == 0)
    fit_extractor(data, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


def test_a_folder_without_the_meetings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="ALL_val"):
        fit_extractor(tmp_path, tmp_path / "out.json")
