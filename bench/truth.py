"""Which answer a question got, where it came from, and whether it was one made for that question."""

import re
from collections.abc import Mapping
from typing import Literal

from bench.answers import Fault, Said
from bench.workload import Ticket, meant

Route = Literal["exact", "semantic", "local", "forward", "none"]
ROUTES: tuple[Route, ...] = ("exact", "semantic", "local", "forward")

_ECHO = re.compile(r"You asked: (.*?) @@ You began with: (.*?) @@", re.DOTALL)
_KNOWN = "Known: "
_LITELLM_HIT = "x-litellm-cache-key"
"""LiteLLM names the key of an answer that it had in its cache, and of no other."""
_DETAIL = re.compile(r"; hit;.*detail=(\w+)")


def route_of(headers: Mapping[str, str]) -> Route:
    """Where the answer came from; `none` when the headers do not say (names in lower case)."""
    if _LITELLM_HIT in headers:
        return "exact"
    hit = _DETAIL.search(headers.get("cache-status", ""))
    match headers.get("wayside-route"):
        case "cache":
            return "semantic" if hit and hit[1] == "semantic" else "exact"
        case "local":
            return "local"
        case "cloud" | "degraded":
            return "forward"
        case _:
            return "none"


def edge_ms(headers: Mapping[str, str]) -> float:
    """What the edge itself took: all stages of `Server-Timing` but the upstream's."""
    stages = re.findall(r"(\w+);dur=([\d.]+)", headers.get("server-timing", ""))
    return sum(float(spent) for stage, spent in stages if stage != "upstream")


def known_answer(meaning: str) -> str:
    """An operator's answer that says what it is the answer to."""
    return f"{_KNOWN}{meaning}"


class Truth:
    """Knows what every question of the run means, and so which answers may stand for which."""

    def __init__(self) -> None:
        self._meanings: dict[str, str] = {}

    def asked(self, ticket: Ticket) -> None:
        """To be told before the ticket's first question is sent."""
        for turn in ticket.turns:
            self._meanings[turn.text] = turn.meaning

    def judge(self, ticket: Ticket, turn: int, said: Said, route: Route) -> Fault | None:
        """None for a whole answer to this question, or to another that means the same."""
        if said.finish_reason != "stop" and not (said.finish_reason == "length" and ticket.max_tokens):
            return Fault(kind="half", detail=f"finish_reason is {said.finish_reason}")
        made_for = self._made_for(said.text)
        meaning = ticket.meaning(turn)
        if made_for is None:
            return Fault(kind="wrong", detail=f"{route}: no answer of ours") if route == "local" else None
        if route == "forward":
            return None  # a session's history may have been folded: where it began is then not told
        if made_for != meaning:
            return Fault(kind="wrong", detail=f"{route}: {meaning!r} was answered as {made_for!r}")
        return None

    def _made_for(self, text: str) -> str | None:
        if text.startswith(_KNOWN):
            return text.removeprefix(_KNOWN)
        echo = _ECHO.match(text)
        if echo is None:
            return None
        last, first = echo[1], echo[2]
        first_meaning = self._meanings.get(first, first)
        return meant(first_meaning, None if last == first else self._meanings.get(last, last))
