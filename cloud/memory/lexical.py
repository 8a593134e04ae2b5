"""Words of remembered passages, and which passages hold them: postings that grow, BM25 over windows."""

import itertools
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from cloud.memory.growing import Growing

Floats = npt.NDArray[np.float32]

K1: Final = 1.2
B: Final = 0.75
"""Robertson and Zaragoza (2009), the usual values; nothing here was tuned."""

_TOKEN: Final = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?")
_STOP: Final = frozenset(
    """a an the this that these those is are was were be been being am do does did doing have has had having i me my
    we us our you your he him his she her it its they them their and or but if so as of in on at to for from by with
    about into onto over under than then there here can could will would shall should may might must what which who
    whom whose when where why how please just some any also too very really much many more most get got not no oh
    yeah hey wow well s t m re ve ll d""".split()
)
_ENDINGS: Final = (("'s", 1), ("ies", 2), ("ing", 3), ("ed", 3), ("es", 3), ("s", 2), ("ly", 3))


def stem(word: str) -> str:
    """Without its commonest endings: enough for two forms of a word to meet."""
    for ending, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least and not word.endswith("ss"):
            word = word[: -len(ending)] + ("i" if ending == "ies" else "")
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lse":
        word = word[:-1]
    if len(word) > 3 and word[-1] in "ey":
        word = word[:-1] + ("i" if word[-1] == "y" else "")
    return word.rstrip("e") if len(word) > 3 else word


class _Stems(dict[str, str]):
    """Stems that were worked out, empty for a word that carries no meaning."""

    def __missing__(self, word: str) -> str:
        found = "" if word in _STOP else stem(word)
        # Longer words are rarely met twice, and may be of any size.
        if len(word) <= _USUAL_LENGTH:
            if len(self) >= _MOST_STEMS:
                self.clear()
            self[word] = found
        return found


_USUAL_LENGTH: Final = 24
_MOST_STEMS: Final = 50_000
_stem_of = _Stems().__getitem__


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return list(filter(None, map(_stem_of, _TOKEN.findall(text.lower()))))


_MOST_LOOSE: Final = 1024
"""Passages that are taken in one by one, beside what was sorted at once."""


class Postings:
    """Which passages hold a term, and how often; passages are numbered as they come.

    Adding only writes the terms down. They are put in order when somebody asks: many at once by one sort, a
    few one by one, so that neither the first question about a long history nor one after each write takes long.
    """

    def __init__(self) -> None:
        self._id_of: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        self._said = array("i")
        """Ids of the terms of all passages, one after the other."""
        self._lengths = Growing(np.float32)
        self._rows: npt.NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self._counts: Floats = np.zeros(0, dtype=np.float32)
        self._starts: npt.NDArray[np.int64] = np.zeros(1, dtype=np.int64)
        """Where each term's passages begin in the two above, shape (terms that were sorted + 1,)."""
        self._sorted = 0
        self._loose: dict[int, tuple[array[int], array[float]]] = {}
        """Of the passages after the sorted ones, those that hold a term."""
        self._known = 0
        self._known_terms = 0
        """Passages that are sorted or loose, and their terms."""

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, found: Sequence[str]) -> None:
        self._said.extend(map(self._id_of.__getitem__, found))
        self._lengths.append(len(found))

    @property
    def lengths(self) -> Floats:
        """Terms of each passage, shape (passages,)."""
        return self._lengths.all

    def of(self, term: str) -> tuple[npt.NDArray[np.int32], Floats]:
        """The passages that hold the term, in order, and how often each does."""
        if self._known < len(self):
            self._put_in_order()
        number = self._id_of.get(term, -1)
        first, last = 0, 0
        if 0 <= number < len(self._starts) - 1:
            first, last = self._starts[number], self._starts[number + 1]
        rows, counts = self._rows[first:last], self._counts[first:last]
        loose = self._loose.get(number)
        if loose is None:
            return rows, counts
        return (
            np.concatenate([rows, np.array(loose[0], dtype=np.int32)]),
            np.concatenate([counts, np.array(loose[1], dtype=np.float32)]),
        )

    def _put_in_order(self) -> None:
        # A sort each time what came after the last has grown to a quarter: a few sorts, however much comes.
        if len(self) - self._sorted > max(_MOST_LOOSE, self._sorted // 4):
            self._sort()
            return
        at = self._known_terms
        for row in range(self._known, len(self)):
            end = at + int(self._lengths.all[row])
            for number, count in Counter(self._said[at:end]).items():
                held = self._loose.get(number)
                if held is None:
                    held = self._loose[number] = (array("i"), array("f"))
                held[0].append(row)
                held[1].append(count)
            at = end
        self._known, self._known_terms = len(self), at

    def _sort(self) -> None:
        size = len(self)
        said = np.array(self._said, dtype=np.int64)
        spoken_in = np.repeat(np.arange(size, dtype=np.int64), self._lengths.all.astype(np.int64))
        pairs, counts = np.unique(said * size + spoken_in, return_counts=True)
        numbers, rows = np.divmod(pairs, size)
        self._rows, self._counts = rows.astype(np.int32), counts.astype(np.float32)
        self._starts = np.searchsorted(numbers, np.arange(len(self._id_of) + 1))
        self._sorted = self._known = size
        self._known_terms = len(said)
        self._loose = {}


def idf(holding: int, of: int) -> float:
    return float(np.log(1 + (of - holding + 0.5) / (holding + 0.5)))


def bm25(counts: Floats, lengths: Floats, *, weight: float) -> Floats:
    """One term's share of the score; `lengths` in units of their mean."""
    return np.asarray(weight * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths)), dtype=np.float32)
