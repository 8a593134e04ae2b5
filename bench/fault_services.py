"""Edge and cloud before many pairs of failing providers, and what a client of theirs sees."""

import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from bench.fault_upstream import FaultUpstream, fault_upstreams
from bench.stack import Stack, stack
from bench.systems import FORWARDING_ALONE

_PATIENCE_S = 90.0
_FIRST_BYTE_S = 22.0
"""Of a provider; longer than the one that is late takes, so that its answer may be waited for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A primary and its fallback, which nobody else asks: its breakers are its own."""

    number: int
    primary: FaultUpstream
    backup: FaultUpstream

    @property
    def main(self) -> str:
        """The model that falls back."""
        return f"main-{self.number}"

    @property
    def alone(self) -> str:
        """The model of the same primary without a fallback."""
        return f"alone-{self.number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a client got."""

    status: int
    text: str
    finished: bool
    """A finish reason, and for a stream `[DONE]`: the client believes that the answer is whole."""
    error: str | None
    usage: dict[str, int] | None
    seconds: float


class Ask:
    """A client of the edge, for many threads."""

    def __init__(self, services: Stack) -> None:
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{services.edge.port}",
            headers=dict(services.edge.launch.headers),
            timeout=_PATIENCE_S,
            trust_env=False,
        )
        self._numbers = itertools.count()

    def __call__(self, model: str, *, streams: bool) -> Seen:
        # Each question is another one: nobody's answer is shared.
        question = f"Say the words. {next(self._numbers)}"
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": question}]}
        if streams:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        began = time.perf_counter()
        try:
            answer = self._client.post("/v1/chat/completions", json=body)
        except httpx.HTTPError as error:
            return Seen(
                status=0, text="", finished=False, error=repr(error), usage=None,
                seconds=time.perf_counter() - began,
            )  # fmt: skip
        return _read(answer, streams=streams, seconds=time.perf_counter() - began)

    def close(self) -> None:
        self._client.close()


@contextmanager
def fault_services(
    pairs: int, *, buffered: bool, breaker_failures: int = 3
) -> Iterator[tuple[Ask, list[Pair]]]:
    """Both services before so many pairs, for the time of the block."""
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as made,
        fault_upstreams(2 * pairs) as upstreams,
    ):
        made_of = [
            Pair(number=number, primary=upstreams[2 * number], backup=upstreams[2 * number + 1])
            for number in range(pairs)
        ]
        failures = str(breaker_failures)
        cloud = (
            *("--provider-first-token-s", "2", "--log-requests", "false"),
            *("--breaker-cool-down-s", "0.5", "--breaker-failures", failures),
        )
        edge = {**FORWARDING_ALONE, "breaker_failures": failures}
        providers = _Providers(pairs=made_of, buffered=buffered)
        with stack(Path(made), providers, edge_settings=edge, cloud_settings=cloud) as services:
            ask = Ask(services)
            try:
                yield ask, made_of
            finally:
                ask.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Providers:
    """The cloud's providers file: the pairs' models, and the probe."""

    pairs: list[Pair]
    buffered: bool

    def providers(self) -> str:
        lines = ['[providers.probe]\nkind = "scripted"\nreply = "{text}"']
        lines += ['[[models]]\nname = "probe"\nprovider = "probe"']
        for pair in self.pairs:
            lines += self._of(pair)
        return "\n".join(lines)

    def _of(self, pair: Pair) -> list[str]:
        number = pair.number
        return [
            _openai(f"one-{number}", pair.primary.port),
            _openai(f"two-{number}", pair.backup.port),
            f'[[models]]\nname = "{pair.main}"\nprovider = "one-{number}"\nfallbacks = ["spare-{number}"]',
            f"context_tokens = 4096\nbuffered = {str(self.buffered).lower()}",
            f'[[models]]\nname = "spare-{number}"\nprovider = "two-{number}"',
            "prefill = true\ncontext_tokens = 128000",
            f'[[models]]\nname = "{pair.alone}"\nprovider = "one-{number}"',
        ]


def _openai(name: str, port: int) -> str:
    return (
        f'[providers.{name}]\nkind = "openai"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
        f"connect_timeout_s = 1\nfirst_byte_timeout_s = {_FIRST_BYTE_S}\nstall_timeout_s = 1.5"
    )


def _read(answer: httpx.Response, *, streams: bool, seconds: float) -> Seen:
    text, error, usage, ends = "", None, None, set()
    if streams and answer.status_code == 200:
        documents = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    else:
        documents = [answer.text]
    for document in documents:
        if document == "[DONE]":
            ends.add("done")
            continue
        told = msgspec.json.decode(document.encode())
        if "error" in told:
            error = str(told["error"].get("code") or told["error"].get("message"))
            continue
        usage = told.get("usage") or usage
        for choice in told["choices"]:
            text += (choice.get("delta") or choice.get("message") or {}).get("content") or ""
            if choice.get("finish_reason"):
                ends.add("finish")
    finished = error is None and ends >= ({"done", "finish"} if streams else {"finish"})
    return Seen(
        status=answer.status_code, text=text, finished=finished, error=error, usage=usage, seconds=seconds
    )
