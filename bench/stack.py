"""A real edge in front of a real cloud in front of a script, each as its own command starts it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from bench.driving import ROOT
from bench.processes import Child, base_environment, free_port, running
from bench.questions import Ask
from bench.start import until_healthy
from bench.systems import Edge, Running, add_key, started
from bench.truth import known_answer
from bench.workload import Workload

_PROBE = "Is anybody there?"
_PROBE_MODEL = "probe"
"""Answers at once, whatever the script's pace."""


class Providers(Protocol):
    """Who answers behind the cloud. A model `probe` among them answers with the question."""

    def providers(self) -> str:
        """The cloud's providers file."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """The provider in place of a model, and the names it goes by."""

    reply: str
    first_token_ms: float = 0.0
    tokens_per_s: float = 0.0
    models: tuple[str, ...] = ("scripted",)
    tiers: Mapping[str, str] = field(default_factory=dict)
    """By model, where it is not the usual one."""
    context_tokens: int | None = None
    tokenizer_file: Path | None = None
    """To count a session's prompts with."""

    def providers(self) -> str:
        """The cloud's providers file."""
        lines = [
            "[providers.probe]",
            'kind = "scripted"',
            'reply = "{text}"',
            "[providers.script]",
            'kind = "scripted"',
            f"reply = {msgspec.json.encode(self.reply).decode()}",
            f"first_token_ms = {self.first_token_ms}",
            f"tokens_per_s = {self.tokens_per_s}",
        ]
        for model in self.models:
            lines += ["", "[[models]]", f'name = "{model}"', 'provider = "script"']
            if model in self.tiers:
                lines.append(f'tier = "{self.tiers[model]}"')
            if self.context_tokens is not None:
                lines.append(f"context_tokens = {self.context_tokens}")
            if self.tokenizer_file is not None:
                lines.append(f'tokenizer_file = "{self.tokenizer_file}"')
        lines += ["", "[[models]]", f'name = "{_PROBE_MODEL}"', 'provider = "probe"']
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Both services, answering."""

    edge: Running
    cloud: Child
    cloud_port: int
    cloud_key: str
    """Of a client that speaks to the cloud itself."""


@contextmanager
def stack(
    folder: Path,
    script: Providers,
    *,
    edge_settings: Mapping[str, str] | None = None,
    cloud_settings: Sequence[str] = (),
    knowledge: Workload | None = None,
) -> Iterator[Stack]:
    """Both services, for the time of the block. Raises DidNotStart."""
    cloud_folder, edge_folder = folder / "cloud", folder / "edge"
    for made in (cloud_folder, edge_folder):
        made.mkdir(parents=True)
    providers = folder / "providers.toml"
    providers.write_text(script.providers(), "utf-8")
    key = add_key("cloud", cloud_folder, tenant="edge", role="edge")
    # Before it starts: a running cloud takes new keys within a second, not at once.
    client_key = add_key("cloud", cloud_folder, tenant="direct")
    port = free_port()
    told = knowledge.knowledge if knowledge is not None else ()
    knows = tuple((questions, known_answer(meaning)) for questions, meaning in told)
    edge = Edge(settings=edge_settings or {}, upstream_key=key, knows=knows)
    where = ("--port", str(port), "--data-dir", str(cloud_folder), "--providers-file", str(providers))
    command = (sys.executable, "-m", "cloud", *where, *cloud_settings)
    with running(command, log=folder / "cloud.log", environment=base_environment(), folder=ROOT) as cloud:
        until_healthy(cloud, port)
        with started(edge, upstream_port=port, folder=edge_folder, probe=_probe()) as system:
            yield Stack(edge=system, cloud=cloud, cloud_port=port, cloud_key=client_key)


def _probe() -> Ask:
    message = {"role": "user", "content": _PROBE}
    body = msgspec.json.encode({"model": _PROBE_MODEL, "messages": [message]})
    return Ask(body=body, streams=False, expected=_PROBE)
