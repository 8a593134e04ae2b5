"""Heavy work: long documents, tools, and a conversation about them of several turns."""

import random
from collections.abc import Iterator
from typing import Any

from bench.workload import FILLING, Ticket, Turn, Workload, poisson

_SYSTEM = (
    "You help the operations team of a logistics company. Read what you are given, use the tools where they help, "
    "and say which line of the report an answer rests on."
)
_WORDS = ("truck", "delay", "north", "depot", "pallet", "driver", "sensor", "customs", "repaired", "late", "missing",
    "signed", "cold", "chain", "reported", "by", "at", "gate", "seven", "loaded", "the", "the", "and", "of")  # fmt: skip
_QUESTIONS = (
    "Which depot had the most delays, and by how much?",
    "List every consignment that was signed for late.",
    "What should we do first, and why?",
    "Write the summary for the weekly meeting.",
    "Which lines contradict each other?",
)


def _tool(name: str, what: str, *fields: str) -> dict[str, Any]:
    properties = {field: {"type": "string"} for field in fields}
    parameters = {"type": "object", "properties": properties, "required": list(fields)}
    return {"type": "function", "function": {"name": name, "description": what, "parameters": parameters}}


_TOOLS = (
    _tool("find_consignment", "Look up a consignment by its number.", "number"),
    _tool("depot_statistics", "Delays of a depot in a week.", "depot", "week"),
    _tool("notify", "Send a message to a team.", "team", "text"),
)


def tickets(seed: int) -> Iterator[Ticket]:
    chance = random.Random(seed)  # noqa: S311  # reproducible traffic, not a secret
    number = 0
    while True:
        number += 1
        lines = [
            f"{line}. consignment {chance.randint(10_000, 99_999)}: {' '.join(chance.choices(_WORDS, k=14))}"
            for line in range(chance.randint(40, 160))
        ]
        first = f"Report {seed}-{number}:\n" + "\n".join(lines) + f"\n\n{_QUESTIONS[0]}"
        texts = [first, *chance.sample(_QUESTIONS[1:], k=chance.randint(2, 4))]
        turns = [Turn(text=text, meaning=text, pause_s=chance.uniform(0.5, 1.5)) for text in texts]
        tools = _TOOLS if chance.random() < 0.5 else ()
        yield Ticket(system=_SYSTEM, turns=tuple(turns), tools=tools)


WORKLOAD = Workload(name="heavy", tickets=tickets, arrivals=poisson, reply=" ".join([FILLING] * 3))
