"""Edits and pairs that the verifier learns from."""

import random
from collections import defaultdict
from pathlib import Path

import pytest

from models.edits import other, same
from models.pairs import Pair, quora_pairs, written
from tests.support.data import collection


@pytest.mark.parametrize(
    "text",
    [
        "How do I increase the limit of my card?",
        "Can I bring my dog on the train from Leeds to York?",
        "What is the price for 3 tickets on Monday?",
    ],
)
def test_edits_change_the_text_and_repeat_by_seed(text: str) -> None:
    for edit in (same, other):
        first, second = (edit(text, random.Random(seed)) for seed in (7, 7))
        assert first is not None
        assert first == second != text


def test_a_number_is_never_mistyped_into_another() -> None:
    for seed in range(200):
        edited = same("Is 42 the answer to question 7?", random.Random(seed))
        assert edited is None or ("42" in edited and "7" in edited)


def test_no_written_group_stands_in_two_splits() -> None:
    splits = defaultdict(set)
    for pair in written(random.Random(1)):
        splits[pair.a].add(pair.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


def test_no_quora_question_stands_in_two_splits() -> None:
    splits = defaultdict(set)
    pairs: list[Pair] = list(quora_pairs(collection("qqp_pairs").parent))
    for pair in pairs:
        splits[pair.a].add(pair.split)
        splits[pair.b].add(pair.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_group_without_equivalents_makes_no_pair(tmp_path: Path) -> None:
    file = tmp_path / "groups.txt"
    file.write_text("# nothing\n\n! Alone?\n", "utf-8")
    assert list(written(random.Random(1), file)) == []
