"""Which sentences tell what was talked about: signs of many kinds, weighed by a fitted line."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.memory.notable import names_in
from cloud.memory.sentences import words_of

Floats = npt.NDArray[np.float64]

SIGNS: Final = (
    "bias", "first_turn", "lead", "place", "opening", "length", "short", "central", "frequent", "question",
    "answers", "name", "number", "own", "turn_share",
)  # fmt: skip
WEIGHTS_FILE: Final = Path(__file__).parent / "extractor.json"
REPEATS: Final = 0.5
"""Share of its chance that a sentence loses when all its words stand in one that was chosen before
(Carbonell and Goldstein, 1998: maximal marginal relevance)."""
_OWN: Final = re.compile(r"\b(?:I|my|we|our)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """A sentence of a talk, as its speaker said it."""

    turn: int
    """Place of its turn in the talk, from 0."""
    position: int
    """In its turn, from 0."""
    text: str
    words: frozenset[str]
    """Those that carry meaning, see `words_of`."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weight a sign, and where they come from."""

    source: str
    weights: dict[str, float]

    def vector(self) -> Floats:
        return np.array([self.weights.get(name, 0.0) for name in SIGNS])


def read_extractor(path: Path = WEIGHTS_FILE) -> Weights:
    return msgspec.json.decode(path.read_bytes(), type=Weights)


def spoken(turn: int, position: int, text: str) -> Spoken:
    return Spoken(turn=turn, position=position, text=text, words=frozenset(words_of(text)))


def chances(talk: Sequence[Spoken], weights: Weights) -> Floats:
    """How likely each sentence belongs into a summary of the talk, between 0 and 1; shape (sentences,)."""
    if not talk:
        return np.zeros(0)
    scores = np.clip(signs(talk) @ weights.vector(), -30, 30)  # so that 1 is never reached
    return np.asarray(1 / (1 + np.exp(-scores)), dtype=np.float64)


def extract(talk: Sequence[Spoken], lengths: Sequence[int], weights: Weights, *, most: int) -> list[int]:
    """Places of the chosen sentences, in their order: the likeliest that repeat nothing, `most` in all.

    `lengths`: what each sentence counts towards `most`, in the same unit. At least one is chosen.
    """
    worth = chances(talk, weights)
    overlap = np.zeros(len(talk))
    open_places, chosen, left = set(range(len(talk))), list[int](), most
    while open_places:
        best = max(open_places, key=lambda place: (worth[place] * (1 - REPEATS * overlap[place]), -place))
        open_places.remove(best)
        if chosen and lengths[best] > left:
            continue
        chosen.append(best)
        left -= lengths[best]
        for place in open_places:
            overlap[place] = max(overlap[place], _in_common(talk[place].words, talk[best].words))
    return sorted(chosen)


def signs(talk: Sequence[Spoken]) -> Floats:
    """What speaks for each sentence; shape (sentences, signs). Takes time linear in the words."""
    holding = Counter(word for one in talk for word in one.words)
    rarity = {word: math.log((1 + len(talk)) / count) for word, count in holding.items()}
    norms = [math.sqrt(sum(rarity[word] ** 2 for word in one.words)) for one in talk]
    whole = dict.fromkeys(holding, 0.0)
    for one, norm in zip(talk, norms, strict=True):
        for word in one.words:
            whole[word] += rarity[word] / norm
    mass = sum(value**2 for value in whole.values())
    in_turn = Counter(one.turn for one in talk for _ in one.words)
    most = max(in_turn.values(), default=1)
    asked = {one.turn for one in talk if _asks(one)}
    turns = max(one.turn for one in talk) + 1
    return np.array(
        [
            [
                1.0,
                float(one.turn == 0),
                1 / (1 + one.turn),
                one.turn / turns,
                1 / (1 + one.position),
                math.log1p(len(one.words)),
                float(len(one.words) < 2),
                _central(one, norm, rarity, whole, mass),
                _mean_count(one, holding),
                float(_asks(one)),
                float(one.turn - 1 in asked and one.position == 0),
                float(bool(names_in(one.text))),
                float(any(character.isdigit() for character in one.text)),
                float(_OWN.search(one.text) is not None),
                in_turn[one.turn] / most,
            ]
            for one, norm in zip(talk, norms, strict=True)
        ]
    )


def _central(
    one: Spoken, norm: float, rarity: dict[str, float], whole: dict[str, float], mass: float
) -> float:
    """TF-IDF cosine of the sentence with the sum of all others."""
    if not norm:
        return 0.0
    with_whole = sum(rarity[word] / norm * whole[word] for word in one.words)
    rest = mass - 2 * with_whole + 1
    return (with_whole - 1) / math.sqrt(rest) if rest > 1e-9 else 0.0


def _mean_count(one: Spoken, holding: Counter[str]) -> float:
    """How many other sentences its words stand in, on average and damped."""
    return math.log1p(sum(holding[word] - 1 for word in one.words) / max(1, len(one.words)))


def _asks(one: Spoken) -> bool:
    return one.text.rstrip().endswith("?")


def _in_common(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))
