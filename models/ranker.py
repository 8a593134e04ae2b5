"""Fits the ranker of long-term memory to QMSum's queries and their relevant turns."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from cloud.memory.passages import Passage, Passages
from cloud.memory.ranker import LEXICAL, SIGNS, WEIGHTS_FILE, Weights, signs
from models.progress import progress

Embed = Callable[[str], npt.NDArray[np.float32]]

MEETINGS: Final = 30
MOST_TURNS: Final = 700
MOST_EVIDENCE: Final = 30
TURNS_A_GROUP: Final = 40
PRIOR: Final = {
    "keyed": 6.0, "content": 3.0, "near": 6.0, "window": 3.0, "speaker_named": 0.9, "covered": 1.8,
    "asks": -0.6,
    "length": 1.8, "group": 1.2, "when_time": 0.9, "many_number": 0.6, "answers": 1.8, "wide": 3.0,
}  # fmt: skip
"""Words with their date and neighbours lead, meaning beside them, and an answer is longer, follows a
question, and holds what was asked for. `wide` has its place because QMSum alone, fitted without a prior,
gives it one; QMSum moves the rest a little."""
PULL: Final = 100.0
"""How hard the prior holds, in queries."""
STEPS: Final = 200
RATE: Final = 0.03


def fit_ranker(data: Path, embed: Embed, out: Path = WEIGHTS_FILE) -> Weights:
    """Listwise logistic regression (a softmax over a query's candidates) around PRIOR."""
    tables = list(_queries(data, embed))
    weights = {
        kind: _fitted([(table[:, : len(names)], truth) for table, truth in tables], names)
        for kind, names in (("weights", SIGNS), ("without_embeddings", LEXICAL))
    }
    fitted = Weights(
        source=f"prior weights, moved by {len(tables)} queries of QMSum (MIT); LoCoMo is measured on alone",
        weights=weights["weights"],
        without_embeddings=weights["without_embeddings"],
    )
    out.write_bytes(msgspec.json.format(msgspec.json.encode(fitted), indent=1) + b"\n")
    return fitted


def _queries(data: Path, embed: Embed) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    meetings = list(_meetings(data))[:MEETINGS]
    for transcript, queries in progress(meetings, "meetings"):
        passages = Passages()
        for row, turn in enumerate(transcript):
            text = turn["content"]
            passage = Passage(
                id=str(row), group=str(row // TURNS_A_GROUP), text=text, speaker=turn["speaker"], dated=""
            )
            passages.add(passage, embed(f"{passage.speaker}: {text}"))
        for query, evidence in queries:
            found = signs(passages, query, embed(query))
            truth = np.array([int(row) in evidence for row in found.rows])
            if truth.any():
                yield found.table, truth


def _meetings(data: Path) -> Iterator[tuple[list[dict[str, str]], list[tuple[str, set[int]]]]]:
    for name in ("ALL_val", "Academic_train", "Committee_train"):
        with gzip.open(data / "qmsum" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as stream:
            for line in stream:
                meeting = json.loads(line)
                transcript = meeting["meeting_transcripts"]
                queries = []
                for query in meeting["specific_query_list"]:
                    spans = query["relevant_text_span"]
                    evidence = {row for first, last in spans for row in range(int(first), int(last) + 1)}
                    if 0 < len(evidence) <= MOST_EVIDENCE:
                        queries.append((query["query"], evidence))
                if queries and len(transcript) < MOST_TURNS:
                    yield transcript, queries


def _fitted(
    tables: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]], names: tuple[str, ...]
) -> dict[str, float]:
    prior = np.array([PRIOR.get(name, 0.0) for name in names])
    weights, mean, spread = prior.copy(), np.zeros(len(names)), np.zeros(len(names))
    for step in range(1, STEPS + 1):
        slope = PULL * (weights - prior)
        for table, truth in tables:
            scores = table @ weights
            chances = np.exp(scores - scores.max())
            chances /= chances.sum()
            right = chances * truth
            slope += table.T @ (chances - right / (right.sum() + 1e-12))
        slope /= len(tables)
        mean, spread = 0.9 * mean + 0.1 * slope, 0.99 * spread + 0.01 * slope**2
        weights -= RATE * (mean / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.99**step)) + 1e-8)
    return {name: round(float(weight), 4) for name, weight in zip(names, weights, strict=True)}
