"""TF-IDF ridge regression in numpy: the baseline every learned router must beat."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from models.metrics import Floats, Integers

WORD: Final = re.compile(r"\w\w+")
LEAST_DOCUMENTS: Final = 2
RIDGE: Final = 2.0
ITERATIONS: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Sparse:
    """A matrix by its entries."""

    rows: Integers
    columns: Integers
    values: Floats
    shape: tuple[int, int]

    def times(self, vector: Floats) -> Floats:
        entries = self.values * vector[self.columns]
        return np.asarray(np.bincount(self.rows, entries, minlength=self.shape[0]), dtype=np.float64)

    def transposed_times(self, vector: Floats) -> Floats:
        entries = self.values * vector[self.rows]
        return np.asarray(np.bincount(self.columns, entries, minlength=self.shape[1]), dtype=np.float64)


def cross_validated(texts: list[str], target: Floats, *, folds: int, seed: int) -> Floats:
    """Each text's prediction by a regression fitted without its fold, shape (texts,)."""
    order = np.random.default_rng(seed).permutation(len(texts))
    predictions = np.zeros(len(texts))
    for fold in range(folds):
        held = order[fold::folds]
        kept = np.setdiff1d(order, held)
        predictions[held] = fit_predict(
            [texts[row] for row in kept], target[kept], [texts[row] for row in held]
        )
    return predictions


def fit_predict(texts: list[str], target: Floats, asked: list[str]) -> Floats:
    """Ridge regression on unit-norm TF-IDF rows of words and word pairs."""
    documents = [_terms(text) for text in texts]
    frequency = Counter(term for document in documents for term in document)
    kept = [term for term, count in frequency.items() if count >= LEAST_DOCUMENTS]
    if not kept:
        return np.full(len(asked), float(target.mean()))
    places = {term: column for column, term in enumerate(kept)}
    rarity = np.array([math.log((1 + len(texts)) / (1 + frequency[term])) + 1 for term in kept])
    table = _table(documents, places, rarity)
    mean = float(target.mean())
    weight = _ridge(table, target - mean)
    return _table([_terms(text) for text in asked], places, rarity).times(weight) + mean


def _terms(text: str) -> Counter[str]:
    words = WORD.findall(text.lower())
    return Counter([*words, *(f"{first} {second}" for first, second in pairwise(words))])


def _table(documents: list[Counter[str]], places: dict[str, int], rarity: Floats) -> Sparse:
    rows, columns, values = [], [], []
    for row, document in enumerate(documents):
        entries = [(places[term], 1 + math.log(count)) for term, count in document.items() if term in places]
        weighted = np.array([value * rarity[column] for column, value in entries])
        norm = float(np.linalg.norm(weighted)) or 1.0
        rows += [row] * len(entries)
        columns += [column for column, _ in entries]
        values += (weighted / norm).tolist()
    return Sparse(
        rows=np.array(rows, dtype=np.int64),
        columns=np.array(columns, dtype=np.int64),
        values=np.array(values, dtype=np.float64),
        shape=(len(documents), len(places)),
    )


def _ridge(table: Sparse, target: Floats) -> npt.NDArray[np.float64]:
    """Conjugate gradients on the normal equations."""
    weight = np.zeros(table.shape[1])
    residual = table.transposed_times(target)
    direction = residual.copy()
    size = float(residual @ residual)
    for _ in range(ITERATIONS):
        if size < 1e-10:
            break
        moved = table.transposed_times(table.times(direction)) + RIDGE * direction
        step = size / float(direction @ moved)
        weight += step * direction
        residual -= step * moved
        fresh = float(residual @ residual)
        direction = residual + fresh / size * direction
        size = fresh
    return weight
