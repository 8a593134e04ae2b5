"""Replays tickets for `cost`: straight to the cloud's model, or through the edge."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec

from bench.answers import Fault, Said, read
from bench.stack import Script, Stack, stack
from bench.truth import Route, Truth, route_of
from bench.workload import Ticket, Workload
from models.reading.bundle import SHIPPED, TOKENIZER

_WORKERS = 8
_ANSWER_LIMIT_S = 60.0
_CONTEXT_TOKENS = 128_000
_SESSION_TOKENS = 8192
"""Longest prompt of a session: the longest document of `heavy` fits."""
_TOKENIZER = SHIPPED / TOKENIZER
"""To count prompts with; the script's own count is in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request that is over."""

    route: Route
    model: str
    input_tokens: int
    output_tokens: int
    measured_ms: float
    """Of the services; the script itself takes no time."""
    fault: str | None
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Way:
    """Where an arm's requests go."""

    port: int
    key: str
    model: str
    is_edge: bool
    keeps_session: bool
    """Follow-ups name the session and bring what is new; else they bring the whole history."""


@contextmanager
def opened(workload: Workload, routes: Path | None = None) -> Iterator[Stack]:
    """Services with both models; the edge with a route table, where one is given."""
    script = Script(
        reply=workload.reply,
        models=("strong", "cheap"),
        tiers={"strong": "strong", "cheap": "small"},
        context_tokens=_CONTEXT_TOKENS,
        tokenizer_file=_TOKENIZER,
    )
    settings = ("--session-prompt-tokens", str(_SESSION_TOKENS))
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        stack(
            Path(made),
            script,
            edge_settings={} if routes is None else {"routes_file": str(routes)},
            cloud_settings=settings,
            knowledge=workload,
        ) as services,
    ):
        yield services


def replay(
    services: Stack,
    tickets: Sequence[Ticket],
    *,
    arm: str | None,
    done: Callable[[], None],
    keeps_session: bool,
) -> list[Asked]:
    """Every ticket, several at a time. `arm` is a model to ask by its name; None asks the edge to choose."""
    truth = Truth()
    for ticket in tickets:
        truth.asked(ticket)
    way = _way(services, arm, keeps_session=keeps_session)

    def play(numbered: tuple[int, Ticket]) -> list[Asked]:
        try:
            return _play(way, truth, *numbered)
        finally:
            done()

    with ThreadPoolExecutor(_WORKERS) as workers:
        return [one for found in workers.map(play, enumerate(tickets)) for one in found]


def _way(services: Stack, arm: str | None, *, keeps_session: bool) -> _Way:
    if arm is not None:
        return _Way(
            port=services.cloud_port, key=services.cloud_key, model=arm, is_edge=False, keeps_session=False
        )
    key = services.edge.launch.headers["authorization"].removeprefix("Bearer ")
    return _Way(port=services.edge.port, key=key, model="auto", is_edge=True, keeps_session=keeps_session)


def _play(way: _Way, truth: Truth, number: int, ticket: Ticket) -> list[Asked]:
    connection = HTTPConnection("127.0.0.1", way.port, timeout=_ANSWER_LIMIT_S)
    system = [{"role": "system", "content": ticket.system}] if ticket.system else []
    history: list[dict[str, Any]] = []
    found = []
    headers = {"authorization": f"Bearer {way.key}", "content-type": "application/json"}
    if way.keeps_session:
        headers["wayside-session"] = f"ticket-{number}"
    try:
        for position, turn in enumerate(ticket.turns):
            new = {"role": "user", "content": turn.text}
            sent = [*system, new] if way.keeps_session else [*system, *history, new]
            request: dict[str, Any] = {"model": way.model, "messages": sent}
            if ticket.tools:
                request["tools"] = ticket.tools
            asked, said = _ask(
                way, truth, ticket, position, connection, msgspec.json.encode(request), headers
            )
            found.append(asked)
            if said is None:
                break
            history += [new, {"role": "assistant", "content": said.text}]
    finally:
        connection.close()
    return found


class _Named(msgspec.Struct, frozen=True, kw_only=True):
    model: str = ""


def _lost(detail: str) -> Asked:
    return Asked(
        route="none", model="", input_tokens=0, output_tokens=0, measured_ms=0.0, fault="lost", detail=detail
    )


def _ask(
    way: _Way,
    truth: Truth,
    ticket: Ticket,
    turn: int,
    connection: HTTPConnection,
    body: bytes,
    headers: dict[str, str],
) -> tuple[Asked, Said | None]:
    started = time.perf_counter()
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, HTTPException) as error:
        return _lost(f"{type(error).__name__}: {error}"), None
    measured_ms = (time.perf_counter() - started) * 1000
    told = {name.lower(): value for name, value in response.getheaders()}
    said = read(status=response.status, media_type=told.get("content-type", ""), body=answer, streams=False)
    route = route_of(told) if way.is_edge else "forward"
    fault = said if isinstance(said, Fault) else truth.judge(ticket, turn, said, route)
    whole = said if isinstance(said, Said) else None
    asked = Asked(
        route=route,
        model=msgspec.json.decode(answer, type=_Named).model if whole else "",
        input_tokens=whole.input_tokens if whole else 0,
        output_tokens=whole.output_tokens if whole else 0,
        measured_ms=measured_ms,
        fault=fault.kind if fault else None,
        detail=fault.detail if fault else "",
    )
    return asked, whole
