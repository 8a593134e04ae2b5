"""How much of a written summary the extractor's choice of sentences holds, beside the first turns."""

import gzip
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import msgspec
from rouge_score.rouge_scorer import RougeScorer

from bench.tables import Bar, table
from cloud.memory.extractor import Spoken, Weights, extract, spoken
from cloud.memory.sentences import in_third_person, sentences_of

MEASURES: Final = ("rouge1", "rouge2", "rougeL")
BARS: Final = (29.0, 7.0, 22.0)
WORDS: Final = (15, 20, 25, 30, 35, 40)
"""Lengths of a summary that are tried on the part for tuning."""


class FileRefused(Exception):
    """The file is not of DialogSum's shape; the message says why."""


class Dialogue(msgspec.Struct, frozen=True):
    """A row of DialogSum (Chen et al., 2021); one turn a line, `#Person1#: Hello.`"""

    dialogue: str
    summary: str

    def turns(self) -> list[tuple[str, str]]:
        """Speakers and what they said."""
        parts = [line.partition(": ") for line in self.dialogue.splitlines() if line.strip()]
        return [(speaker, text) for speaker, _, text in parts]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """ROUGE F1, means over the dialogues, in percent (Lin, 2004; with Porter's stemmer)."""

    way: str
    rouge1: float
    rouge2: float
    rouge_l: float
    mean_words: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Summaries:
    """What was measured, on which dialogues, and what was chosen on which others."""

    file_sha256: str
    seed: int
    tuned_on: int
    reported_on: int
    words: int
    """The one thing that was chosen on the part for tuning: how long a summary is."""
    weights_from: str
    scores: tuple[Scored, ...]


def read_dialogues(path: Path) -> list[Dialogue]:
    """The rows of a .jsonl or .jsonl.gz file. Raises FileRefused."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        rows = [msgspec.json.decode(line, type=Dialogue) for line in raw.splitlines() if line.strip()]
    except (OSError, msgspec.MsgspecError) as error:
        raise FileRefused(f"{path}: {error}") from error
    if len(rows) < 2:
        raise FileRefused(f"{path}: at least two dialogues are needed, one to tune on and one to report on")
    return rows


def measure(path: Path, weights: Weights, *, seed: int) -> Summaries:
    """Chooses the length on one half of the file's dialogues, drawn by `seed`, and reports on the other."""
    rows = read_dialogues(path)
    random.Random(seed).shuffle(rows)  # noqa: S311  # draws the halves, no secret
    tuning, rest = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    words = max(
        WORDS,
        key=lambda most: _total(score("", tuning, lambda one: told(one, weights, most=most))),
    )
    return Summaries(
        file_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        seed=seed,
        tuned_on=len(tuning),
        reported_on=len(rest),
        words=words,
        weights_from=weights.source,
        scores=(
            score("lead-2, as said", rest, lambda one: lead(one, 2)),
            score("lead-2, in reported speech", rest, lambda one: _reported(one, 2)),
            score("extractive", rest, lambda one: told(one, weights, most=words)),
        ),
    )


def lead(one: Dialogue, turns: int) -> str:
    """The first turns as they stand: what any summary of a dialogue is compared with."""
    return " ".join(f"{speaker}: {text}" for speaker, text in one.turns()[:turns])


def told(one: Dialogue, weights: Weights, *, most: int) -> str:
    """The extractor's sentences, at most `most` words unless a single one is longer, in the third person."""
    talk, lines = _read(one)
    places = extract(talk, [len(line.split()) for line in lines], weights, most=most)
    return " ".join(lines[place] for place in places)


def score(way: str, rows: Sequence[Dialogue], summarize: Callable[[Dialogue], str]) -> Scored:
    scorer = RougeScorer(list(MEASURES), use_stemmer=True)
    texts = [summarize(one) for one in rows]
    found = [scorer.score(one.summary, text) for one, text in zip(rows, texts, strict=True)]
    means = [round(100 * fmean(row[name].fmeasure for row in found), 2) for name in MEASURES]
    return Scored(
        way=way,
        rouge1=means[0],
        rouge2=means[1],
        rouge_l=means[2],
        mean_words=round(fmean(len(text.split()) for text in texts), 1),
    )


def bars(measured: Summaries) -> list[Bar]:
    ours = measured.scores[-1]
    found = (ours.rouge1, ours.rouge2, ours.rouge_l)
    return [
        Bar(promise=f"{name} F1 at least {least:.0f}", measured=f"{value:.1f}", is_met=value >= least)
        for name, least, value in zip(("ROUGE-1", "ROUGE-2", "ROUGE-L"), BARS, found, strict=True)
    ]


def render(name: str, measured: Summaries) -> str:
    rows = [
        [one.way, *(f"{value:.1f}" for value in (one.rouge1, one.rouge2, one.rouge_l, one.mean_words))]
        for one in measured.scores
    ]
    return "\n".join(
        [
            f"## summaries: {name}, {measured.reported_on} dialogues",
            "",
            f"Seed {measured.seed}; the length, {measured.words} words, chosen on {measured.tuned_on} others."
            f"Weights: {measured.weights_from}.",
            "",
            table(["way", "ROUGE-1", "ROUGE-2", "ROUGE-L", "words"], rows),
            "",
            "Bars:",
            *(bar.line() for bar in bars(measured)),
        ]
    )


def _total(scored: Scored) -> float:
    return scored.rouge1 + scored.rouge2 + scored.rouge_l


def _reported(one: Dialogue, turns: int) -> str:
    """What the third person alone does, without a choice of sentences."""
    talk, lines = _read(one)
    return " ".join(line for sentence, line in zip(talk, lines, strict=True) if sentence.turn < turns)


def _read(one: Dialogue) -> tuple[list[Spoken], list[str]]:
    """Each sentence as it was said, and as it is told."""
    turns = one.turns()
    speakers = list(dict.fromkeys(speaker for speaker, _ in turns))
    talk, lines = [], []
    for place, (speaker, text) in enumerate(turns):
        others = [other for other in speakers if other != speaker]
        listener = others[0] if len(others) == 1 else "the others"
        for position, sentence in enumerate(sentences_of(text)):
            line = in_third_person(sentence, speaker=speaker, listener=listener)
            talk.append(spoken(place, position, sentence))
            lines.append(line if line.startswith(speaker) else f"{speaker}: {line}")
    return talk, lines
