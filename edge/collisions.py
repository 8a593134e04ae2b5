"""Which of the operator's answers would be taken for one another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.guard_text import Text, stem
from edge.guard_words import FILLER, STOP
from edge.known import Known


@dataclass(frozen=True, kw_only=True, slots=True)
class Collision:
    """Two questions of different entries that are alike; different answers, so one would be wrong."""

    similarity: float
    first: str
    second: str


def collisions(
    known: Sequence[Known], similarities: Callable[[int, int], float], *, least: float
) -> list[Collision]:
    """Pairs of questions of different entries at least so similar, whose tenants meet; worst first.

    `similarities` is asked by the questions' places in the order of all entries' questions.
    """
    variants = [(index, question) for index, one in enumerate(known) for question in one.questions]
    found = []
    for row, (index, question) in enumerate(variants):
        for column in range(row + 1, len(variants)):
            other, text = variants[column]
            if other != index and _meet(known[index], known[other]):
                similarity = similarities(row, column)
                if similarity >= least:
                    found.append(Collision(similarity=similarity, first=question, second=text))
    return sorted(found, key=lambda one: -one.similarity)


class Similarities:
    """How alike two questions are, by the words they share (Jaccard, stems): needs no model."""

    def __init__(self, known: Sequence[Known]) -> None:
        self._words = [
            frozenset(stem(word) for word in Text(question).words - STOP - FILLER)
            for one in known
            for question in one.questions
        ]

    def __call__(self, row: int, column: int) -> float:
        one, other = self._words[row], self._words[column]
        return len(one & other) / len(one | other) if one | other else 0.0


def _meet(one: Known, other: Known) -> bool:
    return one.allowed is None or other.allowed is None or bool(one.allowed & other.allowed)
