"""A bad data file is refused with its line number."""

import gzip
from pathlib import Path

import pytest

from models.rows import DataRefused, check_counts, read_intents, read_routing


def written(folder: Path, *lines: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


GOOD = '{"text": "hello", "intent": "greet"}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"txt": "x", "intent": "a"}', "text"),
        ('{"text": "x"}', "intent"),
        ('{"text": 3, "intent": "a"}', "str"),
        ('{"text": "  ", "intent": "a"}', "text is empty"),
        ('{"text": "x", "intent": ""}', "intent is empty"),
        ('{"text": "hello", "intent": "leave"}', "line 1 as 'greet', here as 'leave'"),
        ('{"text": "x", ', "truncated"),
        ("[1, 2]", "object"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path, GOOD, line)
    with pytest.raises(DataRefused, match=r"line 2: ") as refused:
        read_intents(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_not_utf_8_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + b'\n{"text": "caf\xe9", "intent": "a"}\n')
    with pytest.raises(DataRefused, match="line 2: not UTF-8"):
        read_intents(path)


def test_an_empty_line_in_the_middle_is_refused_but_not_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="line 2: the line is empty"):
        read_intents(written(tmp_path, GOOD, "", '{"text": "bye", "intent": "leave"}'))
    assert len(read_intents(written(tmp_path, GOOD, ""))) == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.touch()
    with pytest.raises(DataRefused, match="no rows"):
        read_intents(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="No such file"):
        read_intents(tmp_path / "absent.jsonl")


def test_a_file_that_only_claims_to_be_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_text(GOOD)
    with pytest.raises(DataRefused):
        read_intents(path)


def test_gzip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert read_intents(path)[0].intent == "greet"


def test_an_intent_with_too_few_examples_is_refused_by_name(tmp_path: Path) -> None:
    path = written(
        tmp_path, GOOD, '{"text": "bye", "intent": "leave"}', '{"text": "ciao", "intent": "leave"}'
    )
    with pytest.raises(DataRefused, match=r"line 1: intent 'greet' has 1 example"):
        check_counts(path, read_intents(path), at_least=2)


@pytest.mark.parametrize("line", ['{"prompt": "x", "weak": 2, "strong": 0}', '{"prompt": "x", "weak": 1}'])
def test_an_outcome_that_is_not_0_or_1_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataRefused, match="line 1"):
        read_routing(written(tmp_path, line))
