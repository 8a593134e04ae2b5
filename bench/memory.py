"""How well long-term memory finds what answers a question: LoCoMo's evidence, updated facts, tokens spent."""

import gzip
import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.tables import Bar, table
from cloud.memory.embedding import read_as
from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import Weights, rank, read_weights
from cloud.memory.retrieve import episodes, newest_first
from edge.settings import EdgeSettings
from models.reading.bundle import read_bundle
from models.reading.reader import Reader

Embed = Callable[[str], npt.NDArray[np.float32]]

DEPTHS: Final = (3, 5, 10)
BUDGET_TOKENS: Final = 400
BARS: Final = {True: (0.65, 0.74, 0.82), False: (0.62, 0.70, 0.78)}
FACTS: Final = (
    ("I live in {}", "Where does Ada live?", ("Leeds", "Porto", "Oslo", "Graz", "Ghent", "Turku")),
    ("My phone number ends in {}", "What does Ada's phone number end in?", ("4411", "9023", "1187", "6650")),
    ("I work as a {}", "What does Ada work as?", ("baker", "surveyor", "teacher", "welder", "nurse")),
    (
        "Our weekly meeting is on {}",
        "When is the weekly meeting?",
        ("Monday", "Tuesday", "Thursday", "Friday"),
    ),
    ("My favourite tea is {}", "Which tea does Ada like best?", ("oolong", "mint", "assam", "rooibos")),
    (
        "The project deadline is {}",
        "What is the project deadline?",
        ("3 May", "14 June", "2 July", "20 August"),
    ),
    ("I drive a {}", "What does Ada drive?", ("red van", "blue estate", "small electric car", "motorcycle")),
    ("My doctor is called {}", "Who is Ada's doctor?", ("Dr Brandt", "Dr Osei", "Dr Lindqvist", "Dr Ferro")),
)


class FileRefused(Exception):
    """The file is not of LoCoMo's shape; the message says where."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    passages: tuple[Passage, ...]
    questions: tuple[tuple[str, frozenset[str]], ...]
    """Each with the ids of the turns that answer it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryReport:
    """Everything `bench memory` found."""

    n: int
    recall_at_3: float
    recall_at_5: float
    recall_at_10: float
    coverage_at_400_tokens: float
    mean_tokens: float
    p50_ms: float
    p95_ms: float
    updated_first: float
    """Share of updated facts whose newest statement is ranked before every older one."""
    with_embedder: bool
    data_sha256: str
    tuned_on: str


def read_locomo(path: Path) -> list[Conversation]:
    """Conversations with dated sessions of turns and questions with evidence; raises FileRefused."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return [_conversation(sample, index) for index, sample in enumerate(json.loads(raw))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileRefused(f"{path}: not a file of LoCoMo's shape ({error!r})") from error


def _conversation(sample: dict[str, Any], index: int) -> Conversation:
    told = sample["conversation"]
    passages = []
    sessions = sorted(
        int(key.split("_")[1]) for key in told if key.startswith("session_") and key.count("_") == 1
    )
    for number in sessions:
        for turn in told[f"session_{number}"]:
            seen = turn.get("blip_caption")
            passages.append(
                Passage(
                    id=turn["dia_id"],
                    group=f"{index}/{number}",
                    text=f"{turn['text']} [{seen}]" if seen else turn["text"],
                    speaker=turn["speaker"],
                    at=float(number),
                    dated=told.get(f"session_{number}_date_time", ""),
                )
            )
    known = {one.id for one in passages}
    questions = tuple(
        (str(one["question"]), frozenset(one["evidence"]))
        for one in sample["qa"]
        if one.get("evidence") and known & set(one["evidence"])
    )
    return Conversation(passages=tuple(passages), questions=questions)


def open_embedder() -> tuple[Embed, Callable[[str], int]]:
    """The edge's own encoder, and how its tokenizer counts."""
    reader = Reader(read_bundle(EdgeSettings().bundle_path))
    return reader.embed, reader.count


def measure(
    conversations: Sequence[Conversation],
    *,
    embed: Embed | None,
    count: Callable[[str], int],
    digest: str,
    seen: Callable[[int], None],
) -> MemoryReport:
    """`seen` is told how many questions are answered."""
    weights = read_weights()
    recalls: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
    covered, spent, seconds = [], [], []
    for conversation in conversations:
        passages = filled(conversation.passages, embed)
        for question, evidence in conversation.questions:
            began = time.perf_counter()
            vector = embed(question) if embed is not None else None
            rows, scores = rank(passages, question, vector, weights)
            order = newest_first(passages, rows.tolist())
            seconds.append(time.perf_counter() - began)
            found = [passages.rows[row].id for row in order[: max(DEPTHS)]]
            for depth in DEPTHS:
                recalls[depth].append(len(evidence & set(found[:depth])) / len(evidence))
            told = episodes(passages, order, scores.tolist(), limit=10, budget=BUDGET_TOKENS, tokens=count)
            shown = {passages.rows[row].id for episode in told for row in episode.rows}
            covered.append(len(evidence & shown) / len(evidence))
            spent.append(sum(count(episode.text) for episode in told))
            seen(len(seconds))
    times = np.array(seconds) * 1000
    recall = {depth: float(np.mean(values)) for depth, values in recalls.items()}
    return MemoryReport(
        n=len(seconds),
        recall_at_3=recall[3],
        recall_at_5=recall[5],
        recall_at_10=recall[10],
        coverage_at_400_tokens=float(np.mean(covered)),
        mean_tokens=float(np.mean(spent)),
        p50_ms=float(np.quantile(times, 0.5)),
        p95_ms=float(np.quantile(times, 0.95)),
        updated_first=updated_first(embed, weights),
        with_embedder=embed is not None,
        data_sha256=digest,
        tuned_on=weights.source,
    )


def filled(rows: Sequence[Passage], embed: Embed | None) -> Passages:
    passages = Passages()
    for passage in rows:
        vector = embed(read_as(speaker=passage.speaker, text=passage.text)) if embed is not None else None
        passages.add(passage, vector)
    return passages


def updated_first(embed: Embed | None, weights: Weights, *, seed: int = 3) -> float:
    """Facts stated two to four times over a made-up year: is the newest statement found first?"""
    rng = random.Random(seed)  # noqa: S311
    openings = ("", "By the way, ", "Just so you know: ", "Update: ", "As I said, ", "Small change: ", "So, ")
    endings = (".", " now.", "!", " these days.")
    rows, asked = [], []
    for number in range(25):
        for form, question, values in FACTS:
            order = rng.sample(values, k=rng.randint(2, min(4, len(values))))
            group = f"{number}/{form}"
            statements = [
                Passage(
                    id=f"{group}/{step}",
                    group=f"{group}/{step}",
                    text=rng.choice(openings) + form.format(value) + rng.choice(endings),
                    speaker="Ada",
                    at=1e9 + number * 1e6 + step * 86400.0 * rng.randint(5, 40),
                    dated="",
                )
                for step, value in enumerate(order)
            ]
            rows.append(statements)
            asked.append(question)
    first = []
    for statements, question in zip(rows, asked, strict=True):
        newest = max(statements, key=lambda one: one.at or 0.0).id
        shuffled = rng.sample(statements, k=len(statements))
        passages = filled(shuffled, embed)
        vector = embed(question) if embed is not None else None
        ranked, _ = rank(passages, question, vector, weights)
        best = newest_first(passages, ranked.tolist())[0]
        first.append(passages.rows[best].id == newest)
    return float(np.mean(first))


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def render(name: str, report: MemoryReport) -> str:
    bars = BARS[report.with_embedder]
    found = (report.recall_at_3, report.recall_at_5, report.recall_at_10)
    lines = [
        Bar(promise=f"evidence recall@{depth} >= {bar:.0%}", measured=f"{value:.1%}", is_met=value >= bar)
        for depth, bar, value in zip(DEPTHS, bars, found, strict=True)
    ]
    lines += [
        Bar(
            promise=f"evidence within {BUDGET_TOKENS} tokens of episodes >= 75%",
            measured=f"{report.coverage_at_400_tokens:.1%} in {report.mean_tokens:.0f} tokens",
            is_met=report.coverage_at_400_tokens >= 0.75,
        ),
        Bar(
            promise="newest statement of an updated fact first >= 60%",
            measured=f"{report.updated_first:.1%}",
            is_met=report.updated_first >= 0.60,
        ),
        Bar(
            promise="question to ranking p95 <= 25 ms",
            measured=f"{report.p95_ms:.1f} ms",
            is_met=report.p95_ms <= 25,
        ),
    ]
    kind = "with the encoder" if report.with_embedder else "with words alone"
    return "\n\n".join(
        [
            f"## {name}, {kind}: {report.n} questions",
            "\n".join(line.line() for line in lines),
            table(["data", "sha256"], [[name, report.data_sha256]]),
            f"Weights: {report.tuned_on}.",
        ]
    )
