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
    passages: Passages, question: str, vector: npt.NDArray[np.float32] | None, weights: Weights
) -> tuple[Rows, Floats]:
    """Rows of the candidates, best first, and their scores."""
    found = signs(passages, question, vector)
    has_vectors = found.table.shape[1] == len(SIGNS)
    scores = found.table @ weights.vector(semantic=has_vectors)
    order = np.argsort(-scores, kind="stable")
    return found.rows[order], scores[order]


def signs(passages: Passages, question: str, vector: npt.NDArray[np.float32] | None) -> Signs:
    """Reads a question against all passages. `vector`: its embedding, unit norm, where there is one."""
    asked = terms(question)
    speakers = passages.speakers
    named = {stem(part) for speaker in speakers for part in speaker.split()}
    content = [term for term in asked if term not in named]
    lexical = _Lexical(passages, asked, content)
    similarity = passages.similarities(vector) if vector is not None else None
    rows = _candidates(lexical.keyed_content, similarity)
    columns = lexical.columns(rows)
    ranks = [_rank(lexical.keyed_content)[rows], _rank(lexical.content)[rows], _rank(lexical.wide)[rows]]
    mentioned = [one for one in speakers if re.search(rf"\b{re.escape(one)}\b", question.lower())]
    spoken = [passages.rows[row].speaker.lower() for row in rows]
    by_named = np.array([one in mentioned for one in spoken], dtype=np.float32)
    by_other = np.array([bool(mentioned) and one not in mentioned for one in spoken], dtype=np.float32)
    traits = passages.traits(rows)
    before, _ = passages.neighbours()
    asks, asked_before = traits[:, 0], np.zeros(len(rows), dtype=np.float32)
    for place, row in enumerate(before[rows]):
        if row >= 0:
            asked_before[place] = passages.traits(np.array([row]))[0, 1]
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
        when * traits[:, 2],
        many * traits[:, 3],
        thing * traits[:, 4],
    ]
    if similarity is not None:
        table += _semantic(passages, similarity, rows)
    return Signs(rows=rows, table=np.stack(table, axis=1).astype(np.float32))


class _Lexical:
    """Scores of all passages by their words: alone, with their neighbours, by group."""

    def __init__(self, passages: Passages, asked: list[str], content: list[str]) -> None:
        size = len(passages)
        before, after = passages.neighbours()
        lengths, marks = passages.words.lengths, passages.marks.lengths
        beside = neighbour_values(lengths, before) + neighbour_values(lengths, after)
        keyed_lengths = _in_means(marks + 2 * lengths + beside)
        wide_lengths = _in_means(_spread(lengths, before, after, steps=3))
        single_lengths = _in_means(lengths)
        groups, group_of = passages.groups, passages.group_of
        group_lengths = _in_means(np.bincount(group_of, weights=lengths, minlength=groups).astype(np.float32))
        self._passages, self._asked, self._lengths = passages, asked, lengths
        self._before, self._after = before, after
        self.words, self.content, self.keyed, self.keyed_content, self.wide, self.group = (
            np.zeros(size, dtype=np.float32) for _ in range(6)
        )
        self.covered, self.rarest = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        mass = 0.0
        for term in dict.fromkeys(asked):
            counts, marked = passages.words.counts(term), passages.marks.counts(term)
            held = counts > 0
            weight = idf(int(held.sum()), size)
            alone = bm25(counts, single_lengths, weight=weight)
            near = neighbour_values(counts, before) + neighbour_values(counts, after)
            window = marked + 2 * counts + near
            keyed = bm25(window, keyed_lengths, weight=idf(int((window > 0).sum()), size))
            self.words += alone
            self.keyed += keyed
            if term not in content:
                continue
            self.content += alone
            self.keyed_content += keyed
            around = _spread(counts, before, after, steps=3)
            self.wide += bm25(around, wide_lengths, weight=idf(int((around > 0).sum()), size))
            in_group = np.bincount(group_of, weights=counts, minlength=groups).astype(np.float32)
            whole = bm25(in_group, group_lengths, weight=idf(int((in_group > 0).sum()), groups))
            self.group += whole[group_of]
            self.covered += weight * held
            self.rarest = np.maximum(self.rarest, weight * held).astype(np.float32)
            mass += weight
        self.covered /= mass or 1.0

    def columns(self, rows: Rows) -> list[Floats]:
        """Eleven signs of the candidates, in the order of LEXICAL without those of speakers and kinds."""
        beside = np.maximum(
            neighbour_values(self.content, self._before), neighbour_values(self.content, self._after)
        )
        scaled = [
            _scaled(one)[rows]
            for one in (self.words, self.content, self.keyed, self.keyed_content, self.group, self.wide)
        ]
        return [
            *scaled,
            self.covered[rows],
            _scaled(self.rarest)[rows],
            self._pairs(rows),
            np.asarray(np.log1p(self._lengths[rows]) / 4, dtype=np.float32),
            _scaled(beside)[rows],
        ]

    def _pairs(self, rows: Rows) -> Floats:
        """Neighbouring words of the question that stand side by side in the passage too."""
        wanted = {*pairwise(self._asked)}
        counts = []
        for row in rows:
            found = terms(self._passages.rows[row].text)
            counts.append(min(2, len(wanted & {*pairwise(found)})) / 2)
        return np.array(counts, dtype=np.float32)


def _semantic(passages: Passages, similarity: Floats, rows: Rows) -> list[Floats]:
    before, after = passages.neighbours()
    beside = (before >= 0).astype(np.float32) + (after >= 0)
    window = (similarity + neighbour_values(similarity, before) + neighbour_values(similarity, after)) / (
        1 + beside
    )
    best = np.full(passages.groups, -1.0, dtype=np.float32)
    np.maximum.at(best, passages.group_of, window)
    columns = (
        similarity, window, _standard(similarity), _standard(window), _rank(similarity), _rank(window),
        _standard(best)[passages.group_of],
    )  # fmt: skip
    return [column[rows] for column in columns]


def _candidates(lexical: Floats, similarity: Floats | None) -> Rows:
    if len(lexical) <= CANDIDATES:
        return np.arange(len(lexical))
    if similarity is None:
        return np.argpartition(-lexical, CANDIDATES)[:CANDIDATES]
    half = CANDIDATES // 2
    both = [np.argpartition(-one, half)[:half] for one in (lexical, similarity)]
    return np.unique(np.concatenate(both))


def _spread(values: Floats, before: Rows, after: Rows, *, steps: int) -> Floats:
    """The sum of each row's value and those of its neighbours up to so many steps away."""
    total, left, right = values.copy(), values, values
    for _ in range(steps):
        left, right = neighbour_values(left, before), neighbour_values(right, after)
        total += left + right
    return total


def _in_means(lengths: Floats) -> Floats:
    return np.asarray(lengths / max(1.0, float(lengths.mean()) if len(lengths) else 1.0), dtype=np.float32)


def _scaled(values: Floats) -> Floats:
    return np.asarray(values / (float(values.max(initial=0.0)) + 1e-9), dtype=np.float32)


def _standard(values: Floats) -> Floats:
    return np.asarray((values - values.mean()) / (values.std() + 1e-9) / 4, dtype=np.float32)


def _rank(values: Floats) -> Floats:
    places = np.empty(len(values), dtype=np.float32)
    places[np.argsort(-values, kind="stable")] = np.arange(len(values), dtype=np.float32)
    return np.asarray(5 / (places + 5), dtype=np.float32)
