"""Pairs of questions for the verifier: Quora's, written groups, and edits of real questions."""

import gzip
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, Literal

from models.dataset import banking_rows, clinc, share
from models.edits import other, same
from models.labels import normalised

GROUPS: Final = Path(__file__).parent / "packs" / "verifier" / "groups.txt"
Split = Literal["train", "validation", "test"]

VALIDATED: Final = 0.08
"""Share of components, groups and source texts that validates; as many again test."""
GROUP_REPEATS: Final = 6
"""How often a written pair stands in training, each time in another dress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """Two questions and whether one answer serves both."""

    a: str
    b: str
    equivalent: bool
    source: str
    split: Split


def collect_pairs(data: Path, *, with_quora: bool = True, seed: int = 5) -> list[Pair]:
    """Every pair, in an order of its own; no component, group or text stands in two splits."""
    rng = random.Random(seed)  # noqa: S311
    pairs = [*written(rng)]
    quora: list[Pair] = []
    if with_quora:
        quora = list(quora_pairs(data))
        pairs += quora
        pairs += _turned_positives(quora, rng)
    pairs += _edited(_texts(data, quora), rng)
    rng.shuffle(pairs)
    return pairs


def quora_pairs(data: Path) -> Iterator[Pair]:
    """Quora's labelled pairs, split by connected component: no question is on two sides."""
    with gzip.open(data / "qqp_pairs" / "pairs.jsonl.gz", "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        parent.setdefault(text, text)
        while parent[text] != text:
            parent[text] = parent[parent[text]]
            text = parent[text]
        return text

    for row in rows:
        first, second = root(normalised(row["a"])), root(normalised(row["b"]))
        parent[max(first, second)] = min(first, second)
    for row in rows:
        split = _split(f"component {root(normalised(row['a']))}")
        yield Pair(a=row["a"], b=row["b"], equivalent=bool(row["equivalent"]), source="quora", split=split)


def written(rng: random.Random, path: Path = GROUPS) -> Iterator[Pair]:
    """Pairs within each written group: `=` lines have one answer, a `!` line has its own."""
    for group in path.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in group.splitlines() if line[:2] in ("= ", "! ")]
        alike = [line[2:] for line in lines if line.startswith("=")]
        apart = [line[2:] for line in lines if line.startswith("!")]
        if not alike:
            continue
        split = _split(f"group {alike[0]}")
        told = [(a, b, True) for a, b in combinations(alike, 2)]
        told += [(a, b, False) for a in alike for b in apart] + [
            (a, b, False) for a, b in combinations(apart, 2)
        ]
        for a, b, equivalent in told:
            yield Pair(a=a, b=b, equivalent=equivalent, source="written", split=split)
            for _ in range(GROUP_REPEATS - 1 if split == "train" else 0):
                dressed, other_dressed = same(a, rng) or a, b if rng.random() < 0.5 else same(b, rng) or b
                yield Pair(a=dressed, b=other_dressed, equivalent=equivalent, source="written", split=split)


def _texts(data: Path, quora: Iterable[Pair]) -> list[str]:
    texts = {row.text for row in banking_rows(data, "train")}
    texts |= {row.text for row in clinc(data, "train") if share(f"edited {row.text}") < 0.5}
    texts |= {
        text
        for pair in quora
        if share(f"edited {pair.a}") < 0.2
        for text in (pair.a,)
        if pair.split == "train"
    }
    return sorted(text for text in texts if 12 <= len(text) <= 160)


def _edited(texts: Iterable[str], rng: random.Random) -> Iterator[Pair]:
    """Each text beside itself in another dress, and beside one that asks something else."""
    for text in texts:
        split = _split(f"text {text}")
        dressed = same(text, rng)
        if dressed is not None:
            yield Pair(a=text, b=dressed, equivalent=True, source="edited", split=split)
        if (strange := other(text, rng)) is not None:
            yield Pair(a=text, b=strange, equivalent=False, source="edited", split=split)
            if dressed is not None and rng.random() < 0.5:
                yield Pair(a=dressed, b=strange, equivalent=False, source="edited", split=split)


def _turned_positives(quora: Iterable[Pair], rng: random.Random) -> Iterator[Pair]:
    """Real rewordings of a question that an edit then turned into another one."""
    for pair in quora:
        if pair.equivalent and (strange := other(pair.b, rng)) is not None:
            yield Pair(a=pair.a, b=strange, equivalent=False, source="turned", split=pair.split)


def _split(key: str) -> Split:
    place = share(key)
    return "validation" if place < VALIDATED else "test" if place < 2 * VALIDATED else "train"
