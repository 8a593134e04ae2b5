"""Which remembered passages answer a question: signs of many kinds, weighed by a fitted line."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.memory.lexical import Floats, bm25, idf, stem, terms
from cloud.memory.passages import Passages, neighbour_values

Rows = npt.NDArray[np.int64]

CANDIDATES: Final = 256
"""Passages whose signs are read in full; the rest is too far in words and in meaning."""
LEXICAL: Final = (
    "words", "content", "keyed", "keyed_content", "group", "wide", "covered", "rarest", "pairs",
    "speaker_named", "other_speaker", "length", "asks", "answers", "neighbour", "keyed_rank", "content_rank",
    "wide_rank", "when_time", "many_number", "thing_name",
)  # fmt: skip
SEMANTIC: Final = ("near", "window", "near_spread", "window_spread", "near_rank", "window_rank", "group_near")
SIGNS: Final = (*LEXICAL, *SEMANTIC)
WEIGHTS_FILE: Final = Path(__file__).parent / "ranker.json"
_WHEN: Final = re.compile(r"\s*(?:when|what (?:date|day|month|year)|how long)\b", re.IGNORECASE)
_MANY: Final = re.compile(r"\bhow (?:many|much)\b", re.IGNORECASE)
_THING: Final = re.compile(r"\s*(?:where|who|which|what)\b", re.IGNORECASE)


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A weight a sign, and where they come from."""

    source: str
    weights: dict[str, float]
    without_embeddings: dict[str, float]

    def vector(self, *, semantic: bool) -> Floats:
        told: Mapping[str, float] = self.weights if semantic else self.without_embeddings
        return np.array([told.get(name, 0.0) for name in (SIGNS if semantic else LEXICAL)], dtype=np.float32)


def read_weights(path: Path = WEIGHTS_FILE) -> Weights:
    return msgspec.json.decode(path.read_bytes(), type=Weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class Signs:
    """The candidates of a question and what speaks for each; shape (candidates, signs)."""

    rows: Rows
    table: Floats


def rank(
    passages: Passages,
    question: str,
    vector: npt.NDArray[np.float32] | None,
    weights: Weights,
    *,
    visible: npt.NDArray[np.bool_] | None = None,
) -> tuple[Rows, Floats]:
    """Rows of the candidates, best first, and their scores; of `visible` rows alone, shape (passages,)."""
    found = signs(passages, question, vector, visible=visible)
    has_vectors = found.table.shape[1] == len(SIGNS)
    scores = found.table @ weights.vector(semantic=has_vectors)
    order = np.argsort(-scores, kind="stable")
    return found.rows[order], scores[order]


def signs(
    passages: Passages,
    question: str,
    vector: npt.NDArray[np.float32] | None,
    *,
    visible: npt.NDArray[np.bool_] | None = None,
) -> Signs:
    """Reads a question against all passages. `vector`: its embedding, unit norm, where there is one."""
    asked = terms(question)
    speakers = passages.speakers
    named = {stem(part) for speaker in speakers for part in speaker.split()}
    content = [term for term in asked if term not in named]
    lexical = _Lexical(passages, asked, content)
    similarity = passages.similarities(vector) if vector is not None else None
    rows = _candidates(lexical.keyed_content, similarity, visible)
    columns = lexical.columns(rows)
    ranks = [_rank(one, rows) for one in (lexical.keyed_content, lexical.content, lexical.wide)]
    mentioned = {one for one in speakers if _mentions(question.lower(), one)}
    spoken = [passages.rows[row].speaker.lower() for row in rows]
    by_named = np.array([one in mentioned for one in spoken], dtype=np.float32)
    by_other = np.array([bool(mentioned) and one not in mentioned for one in spoken], dtype=np.float32)
    traits = passages.traits(rows)
    before, _ = passages.neighbours()
    asks, asked_before = traits[:, 0], passages.ask(before[rows])
    answers = asked_before * _scaled(neighbour_values(lexical.content, before))[rows]
    when, many, thing = (float(pattern.search(question) is not None) for pattern in (_WHEN, _MANY, _THING))
    table = [
        *columns[:9],
        by_named,
        by_other,
        columns[9],
        asks,
        answers,
        columns[10],
        *ranks,
        when * traits[:, 1],
        many * traits[:, 2],
        thing * traits[:, 3],
    ]
    if similarity is not None:
        table += _semantic(passages, similarity, rows)
    return Signs(rows=rows, table=np.stack(table, axis=1).astype(np.float32))


class _Lexical:
    """Scores of all passages by their words: alone, with their neighbours, by group.

    Each term is followed from the passages that hold it, so that what a question costs grows with those
    and not with all that is remembered.
    """

    def __init__(self, passages: Passages, asked: list[str], content: list[str]) -> None:
        size, lengths = len(passages), passages.lengths()
        group_of = passages.group_of
        self._passages, self._asked = passages, asked
        self.words, self.content, self.keyed, self.keyed_content, self.wide = (
            np.zeros(size, dtype=np.float32) for _ in range(5)
        )
        self.group = np.zeros(passages.groups, dtype=np.float32)
        """By group, not by passage."""
        self.covered, self.rarest = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        self._held = np.zeros(size, dtype=np.int32)
        mass = 0.0
        for term in dict.fromkeys(asked):
            holding, counts = passages.words.of(term)
            marked, marks = passages.marks.of(term)
            weight = idf(len(holding), size)
            alone = bm25(counts, lengths.alone[holding], weight=weight)
            near, far = self._reached(holding, counts)
            window = near + counts_at(size, holding, counts)
            window[marked] += marks
            touched = np.flatnonzero(window)
            keyed = bm25(window[touched], lengths.keyed[touched], weight=idf(len(touched), size))
            self.words[holding] += alone
            self.keyed[touched] += keyed
            self._held[holding] += 1
            if term not in content:
                continue
            self.content[holding] += alone
            self.keyed_content[touched] += keyed
            around = np.flatnonzero(far)
            self.wide[around] += bm25(far[around], lengths.wide[around], weight=idf(len(around), size))
            in_group = np.bincount(group_of[holding], weights=counts, minlength=passages.groups)
            self.group += bm25(
                in_group.astype(np.float32),
                lengths.group,
                weight=idf(int(np.count_nonzero(in_group)), passages.groups),
            )
            self.covered[holding] += weight
            self.rarest[holding] = np.maximum(self.rarest[holding], weight)
            mass += weight
        self.covered /= mass or 1.0

    def _reached(self, holding: npt.NDArray[np.int32], counts: Floats) -> tuple[Floats, Floats]:
        """Counts of each passage with its neighbours, and with three each side; shape (passages,)."""
        size = len(self._passages)
        near, far = counts_at(size, holding, counts), counts_at(size, holding, counts)
        for links in self._passages.neighbours():
            rows, carried = holding.astype(np.int64), counts
            for step in range(3):
                rows = links[rows]
                there = rows >= 0
                rows, carried = rows[there], carried[there]
                far[rows] += carried  # a row is beside one other on each side: none is named twice
                if step == 0:
                    near[rows] += carried
        return near, far

    def columns(self, rows: Rows) -> list[Floats]:
        """Eleven signs of the candidates, in the order of LEXICAL without those of speakers and kinds."""
        before, after = self._passages.neighbours()
        beside = np.maximum(neighbour_values(self.content, before), neighbour_values(self.content, after))
        scaled = [_scaled(one)[rows] for one in (self.words, self.content, self.keyed, self.keyed_content)]
        return [
            *scaled,
            _scaled(self.group)[self._passages.group_of[rows]],
            _scaled(self.wide)[rows],
            self.covered[rows],
            _scaled(self.rarest)[rows],
            self._pairs(rows),
            np.asarray(np.log1p(self._passages.words.lengths[rows]) / 4, dtype=np.float32),
            _scaled(beside)[rows],
        ]

    def _pairs(self, rows: Rows) -> Floats:
        """Neighbouring words of the question that stand side by side in the passage too."""
        wanted = {*pairwise(self._asked)}
        least = min((len({*pair}) for pair in wanted), default=0)
        counts = np.zeros(len(rows), dtype=np.float32)
        for place in np.flatnonzero(self._held[rows] >= least) if wanted else ():
            found = terms(self._passages.rows[rows[place]].text)
            counts[place] = min(2, len(wanted & {*pairwise(found)})) / 2
        return counts


def _semantic(passages: Passages, similarity: Floats, rows: Rows) -> list[Floats]:
    before, after = passages.neighbours()
    beside = (before >= 0).astype(np.float32) + (after >= 0)
    window = (similarity + neighbour_values(similarity, before) + neighbour_values(similarity, after)) / (
        1 + beside
    )
    best = np.full(passages.groups, -1.0, dtype=np.float32)
    np.maximum.at(best, passages.group_of, window)
    return [
        *(one[rows] for one in (similarity, window, _standard(similarity), _standard(window))),
        _rank(similarity, rows),
        _rank(window, rows),
        _standard(best)[passages.group_of[rows]],
    ]


def counts_at(size: int, rows: npt.NDArray[np.int32], counts: Floats) -> Floats:
    """`counts` at `rows`, 0 elsewhere; shape (size,)."""
    dense = np.zeros(size, dtype=np.float32)
    dense[rows] = counts
    return dense


def _mentions(question: str, speaker: str) -> bool:
    return speaker in question and re.search(rf"\b{re.escape(speaker)}\b", question) is not None


def _candidates(lexical: Floats, similarity: Floats | None, visible: npt.NDArray[np.bool_] | None) -> Rows:
    shown = np.arange(len(lexical)) if visible is None else np.flatnonzero(visible)
    if len(shown) <= CANDIDATES:
        return shown
    if similarity is None:
        return np.asarray(shown[np.argpartition(-lexical[shown], CANDIDATES)[:CANDIDATES]])
    half = CANDIDATES // 2
    both = [shown[np.argpartition(-one[shown], half)[:half]] for one in (lexical, similarity)]
    return np.unique(np.concatenate(both))


def _scaled(values: Floats) -> Floats:
    return np.asarray(values / (float(values.max(initial=0.0)) + 1e-9), dtype=np.float32)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() + 1e-9) / 4, dtype=np.float32)


def _rank(values: Floats, rows: Rows) -> Floats:
    """From the places of `rows` among all values, the highest first, equal ones together."""
    places = len(values) - np.searchsorted(np.sort(values), values[rows], side="right")
    return np.asarray(5 / (places + 5), dtype=np.float32)
