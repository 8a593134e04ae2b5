"""Postings are put in order in bulk or one by one: what they say is the same as counting by hand."""

import itertools
import random
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from cloud.memory import passages as passages_module
from cloud.memory.lexical import Postings, terms
from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import rank, read_weights

WORDS = [f"w{number}" for number in range(60)]


class Counted:
    """The same by counting: each term's passages in a list."""

    def __init__(self) -> None:
        self.held: dict[str, list[tuple[int, int]]] = {}
        self.sizes: list[int] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def add(self, found: list[str]) -> None:
        for term, count in Counter(found).items():
            self.held.setdefault(term, []).append((len(self.sizes), count))
        self.sizes.append(len(found))

    @property
    def lengths(self) -> npt.NDArray[np.float32]:
        return np.array(self.sizes, dtype=np.float32)

    def of(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        pairs = self.held.get(term, [])
        return (
            np.array([row for row, _ in pairs], dtype=np.int32),
            np.array([count for _, count in pairs], dtype=np.float32),
        )


@pytest.mark.parametrize("seed", range(6))
def test_postings_say_what_counting_says_however_they_came(seed: int) -> None:
    chance = random.Random(seed)
    postings, counted = Postings(), Counted()
    for _ in range(12):
        for _ in range(chance.choice([0, 1, 5, 300, 1500])):
            found = [chance.choice(WORDS[: chance.randint(1, 60)]) for _ in range(chance.randint(0, 9))]
            postings.add(found)
            counted.add(found)
        assert len(postings) == len(counted)
        assert postings.lengths.tolist() == counted.lengths.tolist()
        for term in [*chance.sample(WORDS, 8), "absent"]:
            for told, expected in zip(postings.of(term), counted.of(term), strict=True):
                assert told.tolist() == expected.tolist()
                assert told.dtype == expected.dtype


@pytest.mark.parametrize("seed", range(3))
def test_a_ranking_is_the_same_to_the_bit_as_over_counted_postings(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    bulk = Passages()
    monkeypatch.setattr(passages_module, "Postings", Counted)
    plain = Passages()
    ids: list[str] = []
    numbers = itertools.count()
    for _ in range(5):
        for _ in range(chance.choice([1, 40, 1500])):
            ids.append(f"p{next(numbers)}")
            passage = Passage(
                id=ids[-1],
                group=f"g{chance.randint(0, 20)}",
                text=" ".join(chance.choices(WORDS, k=chance.randint(0, 20))) + chance.choice(".?"),
                speaker=chance.choice(["", "Ada", "Ben"]),
                at=chance.uniform(0, 2e9),
                place=chance.randint(0, 99),
            )
            bulk.add(passage)
            plain.add(passage)
        kept = frozenset(chance.sample(ids, len(ids) * 9 // 10))
        bulk.take_out(kept)
        plain.take_out(kept)
        ids = [one for one in ids if one in kept]
        for _ in range(3):
            question = " ".join(chance.choices(WORDS, k=6))
            rows, scores = rank(bulk, question, None, read_weights())
            counted_rows, counted_scores = rank(plain, question, None, read_weights())
            assert rows.tolist() == counted_rows.tolist()
            assert scores.tobytes() == counted_scores.tobytes()


def test_terms_are_stems_of_the_words_that_mean_something() -> None:
    assert terms("The RUNNING of Ada's teas, and of the runs!") == ["run", "ada", "tea", "run"]
    assert terms("of and the") == []
