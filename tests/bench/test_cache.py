"""What `bench cache` counts, and which files it refuses."""

import json
from pathlib import Path

import pytest

from bench.cache import Asked, FileRefused, figures, read_conversations, read_pairs


def asked(equivalent: bool, category: str) -> Asked:
    return Asked(stored="a", asked="b", equivalent=equivalent, category=category)


def test_each_error_rate_has_its_own_denominator() -> None:
    rows = [asked(True, "paraphrase")] * 6 + [asked(False, "negation")] * 4
    found = figures(rows, [True, True, True, False, False, False, True, False, False, False])
    assert (found.n, found.hits) == (10, 4)
    assert found.coverage == 0.5
    assert found.trap_serve_rate == 0.25
    assert found.wrong_per_hit == 0.25
    assert found.wrong_per_request == 0.1
    assert found.by_category["negation"] == {"n": 4, "served": 1, "share": 0.25}
    assert found.wrong_per_hit_bounds[0] < 0.25 < found.wrong_per_hit_bounds[1]


def test_ambiguous_rows_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = {"a": "x", "b": "y", "equivalent": True, "category": "c"}
    file.write_text(json.dumps(row) + "\n" + json.dumps(row | {"ambiguous": True}) + "\n\n", "utf-8")
    assert read_pairs(file) == [Asked(stored="x", asked="y", equivalent=True, category="c")]


def test_a_conversation_keeps_who_said_what(tmp_path: Path) -> None:
    file = tmp_path / "conversations.jsonl"
    turns = [{"role": "user", "content": "hello"}]
    row = {"history_a": turns, "a": "x", "history_b": [], "b": "y", "equivalent": False, "category": "c"}
    file.write_text(json.dumps(row), "utf-8")
    assert read_conversations(file)[0].contexts == (("user: hello",), ())


@pytest.mark.parametrize("line", ["{", "[]", '{"a": "x"}', '"text"'])
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n" + line, "utf-8")
    with pytest.raises(FileRefused, match=":2:"):
        read_pairs(file)
