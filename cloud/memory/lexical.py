"""Words of remembered passages, and which passages hold them: postings that grow, BM25 over windows."""

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
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


def terms(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order."""
    return [
        _known_stem(word) if len(word) <= _USUAL_LENGTH else stem(word)
        for word in _TOKEN.findall(text.lower())
        if word not in _STOP
    ]


_USUAL_LENGTH: Final = 24
"""Longer words are not worth keeping ready: they are rarely met twice, and may be of any size."""
_known_stem = lru_cache(maxsize=50_000)(stem)


_NOWHERE: Final = (array("i"), array("f"))


class Postings:
    """Which passages hold a term, and how often; passages are numbered as they come."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[array[int], array[float]]] = {}
        self._lengths = Growing(np.float32)

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, found: Iterable[str]) -> None:
        counts = Counter(found)
        row = len(self._lengths)
        for term, count in counts.items():
            held = self._held.get(term)
            if held is None:
                held = self._held[term] = (array("i"), array("f"))
            held[0].append(row)
            held[1].append(count)
        self._lengths.append(counts.total())

    @property
    def lengths(self) -> Floats:
        """Terms of each passage, shape (passages,)."""
        return self._lengths.all

    def of(self, term: str) -> tuple[npt.NDArray[np.int32], Floats]:
        """The passages that hold the term, in order, and how often each does."""
        rows, counts = self._held.get(term, _NOWHERE)
        return np.array(rows, dtype=np.int32), np.array(counts, dtype=np.float32)


def idf(holding: int, of: int) -> float:
    return float(np.log(1 + (of - holding + 0.5) / (holding + 0.5)))


def bm25(counts: Floats, lengths: Floats, *, weight: float) -> Floats:
    """One term's share of the score; `lengths` in units of their mean."""
    return np.asarray(weight * counts * (K1 + 1) / (counts + K1 * (1 - B + B * lengths)), dtype=np.float32)
