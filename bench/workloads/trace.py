"""Arrival times and lengths of a public trace: Azure's LLM conversations of 16 November 2023 (CC BY 4.0).

The words are ours, since the trace has none; a token of the trace is a word here. The rate asked for is the speed:
1 is the trace's own pace.
"""

import csv
import gzip
import random
from collections.abc import Iterator
from datetime import datetime
from functools import cache

from bench.reporting import CannotRun
from bench.workload import DATA, FILLING, Ticket, Turn, Workload, replayed

_FILE = DATA / "trace_azure_llm" / "AzureLLMInferenceTrace_conv.csv.gz"
_LONGEST_PROMPT = 6000
_WORDS = (
    "we",
    "saw",
    "that",
    "a",
    "long",
    "talk",
    "about",
    "some",
    "new",
    "thing",
    "goes",
    "on",
    "for",
    "days",
)


@cache
def _recorded() -> tuple[tuple[float, int, int], ...]:
    """Seconds since the first, prompt tokens, answer tokens."""
    if not _FILE.exists():
        raise CannotRun(f"the workload trace needs {_FILE.name} in {_FILE.parent}")
    with gzip.open(_FILE, "rt", encoding="utf-8", newline="") as file:
        rows = [
            (datetime.fromisoformat(row["TIMESTAMP"][:26]), row["ContextTokens"], row["GeneratedTokens"])
            for row in csv.DictReader(file)
        ]
    first = rows[0][0]
    return tuple((((at - first).total_seconds()), int(read), int(said)) for at, read, said in rows)


def tickets(seed: int) -> Iterator[Ticket]:
    chance = random.Random(seed)  # noqa: S311  # reproducible traffic, not a secret
    number = 0
    while True:
        for _, read, said in _recorded():
            number += 1
            words = chance.choices(_WORDS, k=min(read, _LONGEST_PROMPT))
            text = f"Prompt {seed}-{number}: {' '.join(words)}"
            yield Ticket(turns=(Turn(text=text, meaning=text),), max_tokens=max(1, said))


def arrivals(speed: float, seed: int) -> Iterator[float]:
    return replayed([at for at, _, _ in _recorded()], speed=speed)


WORKLOAD = Workload(name="trace", tickets=tickets, arrivals=arrivals, reply=" ".join([FILLING] * 30))
