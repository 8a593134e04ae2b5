"""Whether the error budget holds on streams of questions, and what it costs in hits."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from bench.cache import Asked, Reader
from bench.tables import table
from bench.vcache import LearnedEntry
from edge.bounds import proves_above, share
from edge.error_budget import Bin, Budget, ErrorBudget, Namespace, Sample
from edge.settings import EdgeSettings
from models.dataset import data_directory
from models.pairs import Pair, quora_pairs

CANDIDATES: Final = 3
_NAMESPACE: Final = Namespace(tenant="bench", table="default")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Questions that streams draw from, none of which the verifier was trained or calibrated on."""

    texts: list[str]
    meanings: list[int]
    """Questions with one number have been called duplicates of each other, directly or by a chain."""
    similarities: npt.NDArray[np.float32]


@dataclass(kw_only=True, slots=True)
class Outcome:
    """One stream's end."""

    requests: int = 0
    hits: int = 0
    wrong: int = 0
    sampled: int = 0

    def breaks(self, rate: float) -> bool:
        return self.wrong > rate * self.hits


class Scores:
    """The verifier's probability for pairs, each read once."""

    def __init__(self, pool: Pool, reader: Reader) -> None:
        self._pool = pool
        self._reader = reader
        self._known: dict[tuple[int, int], float] = {}

    def __call__(self, asked: int, stored: int) -> float:
        place = (asked, stored)
        if place not in self._known:
            texts = self._pool.texts
            row = Asked(stored=texts[stored], asked=texts[asked], equivalent=False, category="")
            similarity = float(self._pool.similarities[asked, stored])
            refused, probability = self._reader.verdict(row, similarity)
            self._known[place] = -1.0 if refused is not None else probability
        return self._known[place]


def read_pool(reader: Reader, *, most: int) -> Pool:
    """Questions of the test components of Quora's pairs; raises FileNotFoundError without the data."""
    pairs = [pair for pair in quora_pairs(data_directory()) if pair.split == "test"]
    meanings = _meanings(pairs)
    texts = list(meanings)[:most]
    vectors = np.stack([reader.encoder.encode(text).embedding for text in texts])
    return Pool(texts=texts, meanings=[meanings[text] for text in texts], similarities=vectors @ vectors.T)


def _meanings(pairs: list[Pair]) -> dict[str, int]:
    group: dict[str, int] = {}
    members: dict[int, list[str]] = {}
    for pair in pairs:
        for text in (pair.a, pair.b):
            if text not in group:
                group[text] = len(group)
                members[group[text]] = [text]
        kept, gone = group[pair.a], group[pair.b]
        if pair.equivalent and kept != gone:
            for text in members[gone]:
                group[text] = kept
            members[kept] += members.pop(gone)
    return group


@dataclass(kw_only=True)
class Stream:
    """Requests in a seeded order: some meanings are asked often, most seldom."""

    pool: Pool
    seed: int
    length: int
    stored: list[int] = field(default_factory=list)

    def requests(self) -> list[int]:
        chance = random.Random(self.seed)  # noqa: S311
        by_meaning: dict[int, list[int]] = {}
        for place, meaning in enumerate(self.pool.meanings):
            by_meaning.setdefault(meaning, []).append(place)
        meanings = list(by_meaning)
        chance.shuffle(meanings)
        # A meaning with several wordings is asked more often, as it was where the pairs come from.
        weights = [len(by_meaning[one]) / (rank + 10) ** 0.6 for rank, one in enumerate(meanings)]
        return [chance.choice(by_meaning[one]) for one in chance.choices(meanings, weights, k=self.length)]

    def nearest(self, asked: int, *, least: float) -> list[int]:
        if not self.stored:
            return []
        similar = self.pool.similarities[asked, self.stored]
        best = np.argsort(-similar)[:CANDIDATES]
        return [self.stored[int(at)] for at in best if similar[at] >= least]


def ours(stream: Stream, scores: Scores, budget: ErrorBudget, *, least: float) -> Outcome:
    """The edge's own rule, request by request; exact repetitions are left out of account."""
    chance, outcome, seen = random.Random(stream.seed + 10_000), Outcome(), set[int]()  # noqa: S311
    meanings = stream.pool.meanings
    for asked in stream.requests():
        if asked in seen:
            continue
        outcome.requests += 1
        found = [
            (stored, score)
            for stored in stream.nearest(asked, least=least)
            if (score := scores(asked, stored)) >= budget.floor
        ]
        threshold = budget.of(_NAMESPACE).threshold
        taken = next((one for one in found if one[1] >= threshold), found[0] if found else None)
        is_hit = taken is not None and taken[1] >= threshold
        if taken is not None:
            stored, score = taken
            wrong = meanings[asked] != meanings[stored]
            outcome.hits += is_hit
            outcome.wrong += is_hit and wrong
            if chance.random() < budget.rate(_NAMESPACE, score):
                outcome.sampled += 1
                budget.record(_NAMESPACE, [Sample(score=score, wrong=wrong)])
        if not is_hit:
            stream.stored.append(asked)
            seen.add(asked)
    return outcome


def learned(stream: Stream, *, max_error_rate: float) -> Outcome:
    """The peer's rule on the same stream."""
    chance, outcome, seen = random.Random(stream.seed + 20_000), Outcome(), set[int]()  # noqa: S311
    entries: dict[int, LearnedEntry] = {}
    meanings = stream.pool.meanings
    for asked in stream.requests():
        if asked in seen:
            continue
        outcome.requests += 1
        near = stream.nearest(asked, least=-1.0)
        right = False
        if near:
            entry, similarity = entries[near[0]], float(stream.pool.similarities[asked, near[0]])
            right = meanings[asked] == meanings[near[0]]
            if chance.random() >= entry.asks_with(similarity, max_error_rate=max_error_rate):
                outcome.hits += 1
                outcome.wrong += not right
                continue
            entry.observe(similarity, right=right)
        if not right:
            stream.stored.append(asked)
            entries[asked] = LearnedEntry()
        seen.add(asked)
    return outcome


def measure(
    *, streams: int, length: int, most: int, rates: tuple[float, ...], seen: Callable[[int], None]
) -> dict[str, dict[str, float]]:
    """Figures by system and budget; `seen` is told how many streams are done."""
    reader = Reader(EdgeSettings())
    pool = read_pool(reader, most=most)
    scores = Scores(pool, reader)
    manifest = reader.network.manifest if reader.network is not None else None
    bins = tuple(
        Bin(score=one.low, right=one.equivalent, wrong=one.other)
        for one in (manifest.calibration if manifest is not None else ())
    )
    figures: dict[str, dict[str, float]] = {}
    done = 0
    for rate in rates:
        own, peer = [], []
        for seed in range(streams):
            budget = ErrorBudget(
                budget=Budget(max_wrong_hit_rate=rate), floor=reader.threshold, calibration=bins
            )
            stream = Stream(pool=pool, seed=seed, length=length)
            own.append(ours(stream, scores, budget, least=reader.least_similarity))
            other = Stream(pool=pool, seed=seed, length=length)
            peer.append(learned(other, max_error_rate=rate))
            done += 1
            seen(done)
        figures[f"wayside, {rate:.1%} per hit"] = summary(own, rate)
        figures[f"per-entry cache, {rate:.1%} per request"] = summary(peer, rate)
    return figures


def summary(outcomes: list[Outcome], rate: float) -> dict[str, float]:
    requests, hits = (sum(getattr(one, name) for one in outcomes) for name in ("requests", "hits"))
    wrong = sum(one.wrong for one in outcomes)
    broken = share(sum(one.breaks(rate) for one in outcomes), len(outcomes))
    return {
        "streams": len(outcomes),
        "hit_rate": hits / max(1, requests),
        "hits": hits,
        "wrong_per_hit": wrong / max(1, hits),
        "wrong_per_request": wrong / max(1, requests),
        "streams_over_budget": broken.value,
        "streams_over_budget_bound": broken.bounds[1],
        "streams_over_budget_beyond_chance": sum(
            proves_above(rate, one.wrong, one.hits, confidence=0.95) for one in outcomes
        )
        / len(outcomes),
        "streams_over_budget_per_request": sum(one.wrong > rate * one.requests for one in outcomes)
        / len(outcomes),
        "sampled": sum(one.sampled for one in outcomes) / max(1, requests),
    }


def render(figures: dict[str, dict[str, float]]) -> str:
    header = [
        "system", "hits per request", "wrong per hit", "streams over the budget per hit",
        "of those beyond chance", "over it per request",
    ]  # fmt: skip
    rows = [
        [
            name,
            f"{one['hit_rate']:.2%}",
            f"{one['wrong_per_hit']:.2%}",
            f"{one['streams_over_budget']:.1%}",
            f"{one['streams_over_budget_beyond_chance']:.1%}",
            f"{one['streams_over_budget_per_request']:.1%}",
        ]
        for name, one in figures.items()
    ]
    return table(header, rows)
