"""Fits the sentence extractor to what people named as the topics of QMSum's meetings."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from cloud.memory.extractor import SIGNS, WEIGHTS_FILE, Floats, Spoken, Weights, signs, spoken
from cloud.memory.sentences import sentences_of
from models.progress import progress
from models.rows import DataRefused

FILES: Final = ("ALL_val", "Academic_train", "Committee_train")
LEAST_SENTENCES: Final = 4
MOST_SENTENCES: Final = 200
"""Of a span: a short one leaves no choice, and of a long one hardly a sentence is told."""
MOST_CHOSEN: Final = 3
"""Of the greedy oracle."""
RIDGE: Final = 10.0
STEPS: Final = 30

_NOISE: Final = re.compile(r"\{[^}]*\}")
_LOOSE: Final = re.compile(r"\s+(?=[.,?!;:')])|(?<=\w)\s+(?=['’](?:s|t|m|re|ve|ll|d)\b)")
_TERM: Final = re.compile(r"[a-z0-9]+")


def fit_extractor(data: Path, out: Path = WEIGHTS_FILE) -> Weights:
    """Logistic regression (Newton's method) on greedy labels; `data` is the folder that has `qmsum`.

    A sentence is right when a greedy search for the best overlap with the topic's name takes it
    (Nallapati et al., 2017). Raises DataRefused when the folder has no such files.
    """
    talks = [(talk, oracle(talk, topic)) for talk, topic in progress(list(_spans(data)), "spans")]
    table = np.concatenate([signs(talk) for talk, _ in talks])
    truth = np.concatenate(
        [np.isin(np.arange(len(talk)), list(chosen)).astype(float) for talk, chosen in talks]
    )
    # Every talk weighs the same, however long.
    weight = np.concatenate([np.full(len(talk), 20 / len(talk)) for talk, _ in talks])
    vector = _fitted(table, truth, weight)
    fitted = Weights(
        source=f"logistic regression on {len(talks)} spans of QMSum (MIT), "
        "greedy overlap with the names of their topics",
        weights={name: round(float(value), 4) for name, value in zip(SIGNS, vector, strict=True)},
    )
    out.write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")
    return fitted


def oracle(talk: Sequence[Spoken], written: str) -> frozenset[int]:
    """Places of the sentences that together share most words and pairs of words with what was written."""
    wanted = _grams(written)
    found = [_grams(one.text) for one in talk]
    chosen: list[int] = []
    together: Counter[tuple[str, ...]] = Counter()
    best = 0.0
    while len(chosen) < MOST_CHOSEN:
        gains = [
            (_overlap(together + grams, wanted), -place)
            for place, grams in enumerate(found)
            if place not in chosen
        ]
        value, place = max(gains, default=(0.0, 0))
        if value <= best:
            break
        best = value
        chosen.append(-place)
        together += found[-place]
    return frozenset(chosen)


def _spans(data: Path) -> Iterator[tuple[list[Spoken], str]]:
    for name in FILES:
        path = data / "qmsum" / f"{name}.jsonl.gz"
        if not path.is_file():
            raise DataRefused(f"{path}: no such file")
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for line in stream:
                meeting = json.loads(line)
                said = [turn["content"] for turn in meeting["meeting_transcripts"]]
                for topic in meeting["topic_list"]:
                    spans = topic["relevant_text_span"]
                    rows = sorted({row for first, last in spans for row in range(int(first), int(last) + 1)})
                    talk = [
                        spoken(place, position, sentence)
                        for place, row in enumerate(row for row in rows if row < len(said))
                        for position, sentence in enumerate(sentences_of(_cleaned(said[row])))
                    ]
                    if LEAST_SENTENCES <= len(talk) <= MOST_SENTENCES:
                        yield talk, topic["topic"]


def _cleaned(text: str) -> str:
    return " ".join(_LOOSE.sub("", _NOISE.sub(" ", text)).split())


def _grams(text: str) -> Counter[tuple[str, ...]]:
    terms = _TERM.findall(text.lower())
    return Counter([*((term,) for term in terms), *pairwise(terms)])


def _overlap(found: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> float:
    both = (found & wanted).total()
    return 2 * both / max(1, found.total() + wanted.total())


def _fitted(table: Floats, truth: Floats, weight: Floats) -> Floats:
    ridge = RIDGE * np.eye(table.shape[1])
    ridge[0, 0] = 0.0  # the bias is free
    vector = np.zeros(table.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-table @ vector))
        slope = table.T @ (weight * (chance - truth)) + ridge @ vector
        curve = (table * (weight * chance * (1 - chance))[:, None]).T @ table + ridge
        vector = vector - np.linalg.solve(curve, slope)
    return vector
