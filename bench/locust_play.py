"""Plays tickets over geventhttpclient inside Locust, and notes every request from when it was due."""

import time

import gevent
import msgspec
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPSocketPoolResponse
from locust.env import Environment

from bench.answers import Fault, Said, read
from bench.samples import Sample
from bench.truth import Truth, edge_ms, route_of
from bench.workload import Ticket

_ANSWER_LIMIT_S = 60.0
_MOST_CONNECTIONS = 512
_EMPTY_TEXT = b'"content":""'


class Player:
    """Sends tickets, a turn after another, and keeps a sample of each request."""

    def __init__(self, environment: Environment, *, port: int, key: str, model: str, started: float) -> None:
        self._environment = environment
        self._model = model
        self._started = started
        self._truth = Truth()
        self._tickets = 0
        self._client = HTTPClient(
            "127.0.0.1",
            port,
            concurrency=_MOST_CONNECTIONS,
            connection_timeout=10.0,
            network_timeout=_ANSWER_LIMIT_S,
            headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        self.samples: list[Sample] = []
        self.open = 0
        """Requests that were due and are not over."""

    def play(self, ticket: Ticket, due: float) -> None:
        """The whole conversation; `due` is when its first question should be on its way (monotonic)."""
        self._truth.asked(ticket)
        self._tickets += 1
        number = self._tickets
        messages = [{"role": "system", "content": ticket.system}] if ticket.system else []
        for position, turn in enumerate(ticket.turns):
            messages.append({"role": "user", "content": turn.text})
            if position:
                gevent.sleep(turn.pause_s)
                due = time.monotonic()
            said = self._ask(ticket, position, messages, due, number)
            if said is None:
                return
            messages.append({"role": "assistant", "content": said.text})

    def _ask(
        self, ticket: Ticket, turn: int, messages: list[dict[str, str]], due: float, number: int
    ) -> Said | None:
        request = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if ticket.tools:
            request["tools"] = ticket.tools
        if ticket.max_tokens is not None:
            request["max_tokens"] = ticket.max_tokens
        self.open += 1
        sent = time.monotonic()
        first = sent
        headers: dict[str, str] = {}
        status = 0
        judged: Said | Fault
        try:
            with self._client.post("/v1/chat/completions", msgspec.json.encode(request)) as response:
                status = response.status_code
                headers = {name.lower(): str(value) for name, value in response.items()}
                body, first = _body(response)
            judged = read(
                status=status,
                media_type=headers.get("content-type", ""),
                body=body,
                streams=True,
            )
        except Exception as error:  # gevent and the client raise without a common base
            judged = Fault(kind="lost", detail=f"{type(error).__name__}: {error}"[:200])
        finally:
            self.open -= 1
        over = time.monotonic()
        route = route_of(headers)
        fault = judged if isinstance(judged, Fault) else self._truth.judge(ticket, turn, judged, route)
        said = judged if isinstance(judged, Said) else None
        sample = Sample(
            at_s=due - self._started,
            late_ms=(sent - due) * 1000,
            first_ms=(first - due) * 1000,
            last_ms=(over - due) * 1000,
            route=route,
            status=status,
            fault=fault.kind if fault else None,
            detail=fault.detail if fault else "",
            edge_ms=edge_ms(headers),
            input_tokens=said.input_tokens if said else 0,
            output_tokens=said.output_tokens if said else 0,
            ticket=number,
            turn=turn,
        )
        self.samples.append(sample)
        self._environment.events.request.fire(
            request_type="chat",
            name=route if route != "none" else "no answer",
            response_time=sample.last_ms,
            response_length=sample.output_tokens,
            exception=RuntimeError(f"{fault.kind}: {fault.detail}") if fault else None,
            context={},
        )
        return said if fault is None else None


def _body(response: HTTPSocketPoolResponse) -> tuple[bytes, float]:
    """The whole body, and when its first text came."""
    parts: list[bytes] = []
    first: float | None = None
    while event := response.readline(b"\n\n"):
        parts.append(event)
        if first is None and b'"content":"' in event and _EMPTY_TEXT not in event:
            first = time.monotonic()
    parts.append(response.read())
    return b"".join(parts), first or time.monotonic()
