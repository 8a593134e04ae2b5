"""The benchmark of summaries: what is compared with what, and what it refuses."""

import json
from pathlib import Path

import pytest

from bench.summaries import Dialogue, FileRefused, lead, measure, read_dialogues, score, told
from cloud.memory.extractor import read_extractor

TALK = Dialogue(
    dialogue="#Person1#: I'd like a room for two nights.\n#Person2#: Do you have a booking?\n"
    "#Person1#: No, I don't.\n#Person2#: Okay.",
    summary="#Person1# would like a room for two nights.",
)


def test_a_summary_tells_in_the_third_person_who_said_it() -> None:
    assert told(TALK, read_extractor(), most=9) == "#Person1# would like a room for two nights."


def test_the_first_turns_stand_as_they_were_said() -> None:
    assert lead(TALK, 1) == "#Person1#: I'd like a room for two nights."


def test_the_very_summary_scores_a_hundred_and_a_strange_one_nothing() -> None:
    assert score("same", [TALK], lambda one: one.summary).rouge_l == 100
    assert score("strange", [TALK], lambda one: "penguins" * len(one.turns())).rouge1 == 0


def test_what_is_tuned_on_is_not_reported_on(tmp_path: Path) -> None:
    file = tmp_path / "talks.jsonl"
    row = json.dumps({"dialogue": TALK.dialogue, "summary": TALK.summary})
    file.write_text(f"{row}\n" * 5, encoding="utf-8")
    measured = measure(file, read_extractor(), seed=3)
    assert (measured.tuned_on, measured.reported_on) == (2, 3)
    assert [one.way for one in measured.scores][-1] == "extractive"


@pytest.mark.parametrize("text", ["", '{"dialogue": 1}\n', '{"dialogue": "a: b", "summary": "c"}\n'])
def test_a_file_of_another_shape_or_too_few_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "talks.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(FileRefused):
        read_dialogues(tmp_path / "talks.jsonl")
