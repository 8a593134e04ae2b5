"""How often the semantic cache serves what it should, and what it should not, on files of pairs."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.cache_peers import PEERS
from edge.adapters.onnx_encoder import Network
from edge.bounds import share
from edge.domain import Candidate, StoredAnswer, Verified
from edge.personal import is_personal, is_time_dependent
from edge.settings import EdgeSettings
from edge.standalone import stands_alone
from edge.verifier import GuardedVerifier
from edge.verifier_bundle import PairNetwork, read_verifier
from models.reading.bundle import read_bundle

COSINES: Final = (0.75, 0.80, 0.85, 0.90, 0.95)
"""Thresholds that caches by cosine alone are run with."""
SWEPT: Final = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)


class FileRefused(Exception):
    """A data file cannot be used; the message names the line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A stored question, another one, and whether the stored answer serves it."""

    stored: str
    asked: str
    equivalent: bool
    category: str
    contexts: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    """What was said before each, where they end a conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the edge does with one of them."""

    row: Asked
    similarity: float
    probability: float
    """0 where a guard refused, 1 where both are the same but for their wrapping."""
    refused: str | None
    milliseconds: float

    def served(self, threshold: float, least_similarity: float) -> bool:
        return self.refused is None and self.similarity >= least_similarity and self.probability >= threshold


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Three denominators, each with its 95 % bound (Clopper-Pearson)."""

    n: int
    hits: int
    coverage: float
    """Served share of the equivalent pairs."""
    coverage_bounds: tuple[float, float]
    trap_serve_rate: float
    trap_serve_bounds: tuple[float, float]
    wrong_per_hit: float
    wrong_per_hit_bounds: tuple[float, float]
    wrong_per_request: float
    wrong_per_request_bounds: tuple[float, float]
    by_category: dict[str, dict[str, float]]


class Reader:
    """The edge's own encoder, guards and verifier, called as the edge calls them."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.encoder = Network(read_bundle(settings.bundle_path))
        path = settings.verifier_path
        self.network = PairNetwork(read_verifier(path)) if path is not None else None
        told = self.network.manifest.threshold if self.network is not None else 1.0
        self.threshold = settings.verifier_threshold or told
        self.least_similarity = settings.semantic_min_similarity
        # Probabilities are kept for the sweep, so nothing is refused for its probability here.
        self._verifier = GuardedVerifier(
            scorer=_Direct(self.network) if self.network else None, threshold=0.0
        )

    def outcome(self, row: Asked) -> Outcome:
        """Encode both, compare, verify; timed without the stored question's encoding."""
        stored = self.encoder.encode(row.stored).embedding
        began = time.perf_counter()
        reading = self.encoder.encode(row.asked)
        similarity = float(stored @ reading.embedding)
        refused, probability = "longer than the window" if reading.truncated else _context(row), 0.0
        if refused is None and similarity >= self.least_similarity:
            refused, probability = self.verdict(row, similarity)
        return Outcome(
            row=row,
            similarity=similarity,
            probability=probability,
            refused=refused,
            milliseconds=(time.perf_counter() - began) * 1000,
        )

    def verdict(self, row: Asked, similarity: float) -> tuple[str | None, float]:
        """Why the pair is refused, or None, and the probability."""
        answer = StoredAnswer(id="", completion=b"", created=0.0, expires=0.0)
        candidate = Candidate(question=row.stored, similarity=similarity, answer=answer)
        verdict = _now(self._verifier.check(row.asked, candidate))
        if isinstance(verdict, Verified):
            return None, verdict.probability
        return verdict.reason, 0.0


class _Direct:
    """The verifier without its hop to a thread."""

    def __init__(self, network: PairNetwork) -> None:
        self._network = network

    async def probability(self, first: str, second: str, similarity: float) -> float:
        return self._network.probability(first, second, similarity)


def _now(work: Any) -> Any:
    """The result of a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the verifier waited")


def _context(row: Asked) -> str | None:
    """A question is found again in its own context only, unless it means the same in any."""
    if row.contexts is None or row.contexts[0] == row.contexts[1]:
        return None
    return None if stands_alone(row.stored) and stands_alone(row.asked) else "another context"


def read_pairs(path: Path) -> list[Asked]:
    """Rows `{"a", "b", "equivalent", "category"}`; raises FileRefused."""
    return _read(path, lambda _: None)


def read_conversations(path: Path) -> list[Asked]:
    """Rows `{"history_a", "a", "history_b", "b", "equivalent", "category"}`; raises FileRefused."""

    def contexts(row: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first, second = (
            tuple(f"{turn['role']}: {turn['content']}" for turn in row[name])
            for name in ("history_a", "history_b")
        )
        return first, second

    return _read(path, contexts)


def _read(
    path: Path, contexts: Callable[[dict[str, Any]], tuple[tuple[str, ...], tuple[str, ...]] | None]
) -> list[Asked]:
    rows: list[Asked] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileRefused(f"{path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row.get("ambiguous"):
                continue
            told = Asked(
                stored=str(row["a"]),
                asked=str(row["b"]),
                equivalent=bool(row["equivalent"]),
                category=str(row.get("category", "")),
                contexts=contexts(row),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileRefused(f"{path}:{number}: not a row of this kind of file ({error!r})") from error
        rows.append(told)
    if not rows:
        raise FileRefused(f"{path}: no rows")
    return rows


def figures(rows: Sequence[Asked], served: Sequence[bool]) -> Figures:
    """What was served of what."""
    right = [was for row, was in zip(rows, served, strict=True) if row.equivalent]
    wrong = [was for row, was in zip(rows, served, strict=True) if not row.equivalent]
    hits = sum(served)
    coverage, traps = share(sum(right), len(right)), share(sum(wrong), len(wrong))
    per_hit, per_request = share(sum(wrong), hits), share(sum(wrong), len(rows))
    categories: dict[str, dict[str, float]] = {}
    for category in sorted({row.category for row in rows}):
        inside = [was for row, was in zip(rows, served, strict=True) if row.category == category]
        categories[category] = {"n": len(inside), "served": sum(inside), "share": sum(inside) / len(inside)}
    return Figures(
        n=len(rows),
        hits=hits,
        coverage=coverage.value,
        coverage_bounds=coverage.bounds,
        trap_serve_rate=traps.value,
        trap_serve_bounds=traps.bounds,
        wrong_per_hit=per_hit.value,
        wrong_per_hit_bounds=per_hit.bounds,
        wrong_per_request=per_request.value,
        wrong_per_request_bounds=per_request.bounds,
        by_category=categories,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheReport:
    """Everything `bench cache` found about one file."""

    ours: Figures
    threshold: float
    p50_ms: float
    p99_ms: float
    sweep: list[tuple[float, Figures]]
    cosine: list[tuple[float, Figures]]
    peers: dict[str, Figures]
    """By their rules, on our encoder."""
    refusals: dict[str, int]
    withheld: float
    """Share of the served that the edge would not even look up: personal or time-dependent questions."""

    def flat(self) -> dict[str, Any]:
        """The one object that `--json` prints."""
        told = {name: getattr(self.ours, name) for name in Figures.__slots__}
        return told | {
            "threshold": self.threshold,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "withheld_as_personal_or_time_dependent": self.withheld,
            "refusals": self.refusals,
            "sweep": [{"threshold": at, **_point(found)} for at, found in self.sweep],
            "cosine": [{"threshold": at, **_point(found)} for at, found in self.cosine],
            "peers": {name: _point(found) for name, found in self.peers.items()},
        }


def measure(
    rows: Sequence[Asked], reader: Reader, *, threshold: float | None, seen: Callable[[int], None]
) -> CacheReport:
    """`seen` is told how many rows are done."""
    outcomes: list[Outcome] = []
    for row in rows:
        outcomes.append(reader.outcome(row))
        seen(len(outcomes))
    at = threshold if threshold is not None else reader.threshold
    least = reader.least_similarity

    def served(limit: float) -> list[bool]:
        return [one.served(limit, least) for one in outcomes]

    ours = served(at)
    refusals: dict[str, int] = {}
    for one, was in zip(outcomes, ours, strict=True):
        if not was:
            low = "too far" if one.similarity < least else "below threshold"
            reason = one.refused or low
            refusals[reason] = refusals.get(reason, 0) + 1
    asked = [one.row.asked for one, was in zip(outcomes, ours, strict=True) if was]
    withheld = sum(is_personal(text) or is_time_dependent(text) for text in asked)
    times = np.array([one.milliseconds for one in outcomes])
    return CacheReport(
        ours=figures(rows, ours),
        threshold=at,
        p50_ms=float(np.quantile(times, 0.5)),
        p99_ms=float(np.quantile(times, 0.99)),
        sweep=[(limit, figures(rows, served(limit))) for limit in SWEPT],
        cosine=[(limit, figures(rows, [one.similarity >= limit for one in outcomes])) for limit in COSINES],
        peers={
            f"{peer.name} {peer.version}, {peer.told}": figures(
                rows, [peer.serves(one.similarity) for one in outcomes]
            )
            for peer in PEERS
        },
        refusals=dict(sorted(refusals.items(), key=lambda item: -item[1])),
        withheld=withheld / len(asked) if asked else 0.0,
    )


def _point(found: Figures) -> dict[str, float]:
    return {
        "coverage": found.coverage,
        "trap_serve_rate": found.trap_serve_rate,
        "wrong_per_hit": found.wrong_per_hit,
    }
