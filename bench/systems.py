"""What can stand between the generator and an upstream: how each is started and addressed."""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import msgspec

from bench.answers import Fault, judge
from bench.driving import ROOT
from bench.processes import Child, DidNotStart, base_environment, free_port, running
from bench.questions import Ask, questions

TENANT = "bench"
"""Whose key the edge's requests carry."""
MODEL = "static"
_START_LIMIT_S = 90.0
_START_POLL_S = 0.05
_SILENT = Fault(kind="lost", detail="nothing listens")


@dataclass(frozen=True, kw_only=True, slots=True)
class Launch:
    """How one instance is started and what its requests must carry."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = MODEL


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A system that has answered one request well."""

    child: Child
    port: int
    launch: Launch


class System(Protocol):
    """Something that forwards chat completions."""

    @property
    def name(self) -> str: ...

    def prepare(self) -> str:
        """Install what is missing and return the version. Raises DidNotStart with the reason."""
        ...

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        """The command for one instance; `folder` is its own and goes away after it."""
        ...


FORWARDING_ALONE = {"use_models": "false", "exact_cache_max_bytes": "0"}
"""Settings under which the edge does what the peers do: it forwards, and keeps nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """Ours, as `python -m edge` starts it: authentication, checks, metrics and log lines are on."""

    settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that differ from the defaults; the report prints them."""
    upstream_key: str | None = None
    name: str = "wayside edge"
    knows: tuple[tuple[tuple[str, ...], str], ...] = ()
    """Questions and their answer, imported before it starts."""

    def prepare(self) -> str:
        changed = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        return f"working tree{f' with {changed}' if changed else ''}"

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        key = add_key("edge", folder, tenant=TENANT)
        if self.knows:
            tell(folder, self.knows)
        upstream = ["--upstream-url", f"http://127.0.0.1:{upstream_port}/v1"]
        if self.upstream_key is not None:
            key_file = folder / "upstream.key"
            key_file.write_text(self.upstream_key, "utf-8")
            upstream += ["--upstream-key-file", str(key_file)]
        changed = [
            part for name, value in self.settings.items() for part in (f"--{name.replace('_', '-')}", value)
        ]
        return Launch(
            command=(
                *(sys.executable, "-m", "edge", "--port", str(port), "--data-dir", str(folder)),
                *upstream,
                *changed,
            ),
            headers={"authorization": f"Bearer {key}"},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """The least a Python service that forwards over httpx can do (bench/peers/floor.py)."""

    is_canned: bool = False
    """It answers itself, the same to everybody: the least a hit can cost."""

    @property
    def name(self) -> str:
        return "canned floor" if self.is_canned else "floor"

    def prepare(self) -> str:
        return ", ".join(f"{name} {version(name)}" for name in ("starlette", "uvicorn", "httpx-aiohttp"))

    def launch(self, *, port: int, upstream_port: int, folder: Path) -> Launch:
        upstream = f"http://127.0.0.1:{upstream_port}/v1/chat/completions"
        return Launch(
            command=(sys.executable, "-m", "bench.peers.floor", "--port", str(port), "--upstream", upstream)
            + (("--canned",) if self.is_canned else ())
        )


def tell(folder: Path, known: Sequence[tuple[Sequence[str], str]]) -> None:
    """Import an operator's answers, each with its questions, into an edge's folder. Raises DidNotStart."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "told.jsonl"
    rows = [msgspec.json.encode({"questions": questions, "answer": answer}) for questions, answer in known]
    file.write_bytes(b"\n".join(rows) + b"\n")
    command = [sys.executable, "-m", "edge", "knowledge", "import", str(file), "--data-dir", str(folder)]
    done = subprocess.run(  # noqa: S603  # our own command line
        command, capture_output=True, text=True, cwd=ROOT, env=base_environment(), timeout=60
    )
    if done.returncode != 0:
        raise DidNotStart(f"the edge took no knowledge: {done.stderr.strip()[-300:]}")


def add_key(service: str, folder: Path, *, tenant: str, role: str = "client") -> str:
    """A fresh API key of `edge` or `cloud`, kept in `folder`."""
    command = [sys.executable, "-m", service, "keys", "add", "--tenant", tenant, "--role", role]
    done = subprocess.run(  # noqa: S603  # our own command line
        [*command, "--data-dir", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=base_environment(),
        timeout=60,
    )
    if done.returncode != 0:
        raise DidNotStart(f"no key for the {service}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


@contextmanager
def started(
    system: System, *, upstream_port: int, folder: Path, probe: Ask | None = None
) -> Iterator[Running]:
    """The system, once it has answered `probe` well. Raises DidNotStart with its last words.

    Without a probe, what answers in the end is the static upstream.
    """
    port = free_port()
    launch = system.launch(port=port, upstream_port=upstream_port, folder=folder)
    environment = {**base_environment(), **launch.environment}
    with running(launch.command, log=folder / "log", environment=environment, folder=ROOT) as child:
        ask = probe or next(questions("fixed", model=launch.model, streaming="never", seed=0))
        deadline = time.monotonic() + _START_LIMIT_S
        while (fault := _try(port, launch, ask)) is not None:
            if child.has_ended:
                raise DidNotStart(f"{system.name} ended: {child.last_words()}")
            if time.monotonic() > deadline:
                reason = f"{fault.kind}, {fault.detail}"
                raise DidNotStart(f"{system.name} gave no good answer in {_START_LIMIT_S:g} s ({reason})")
            time.sleep(_START_POLL_S)
        yield Running(child=child, port=port, launch=launch)


def asked_once(system: Running, ask: Ask) -> dict[str, str]:
    """The headers of one answer, names in lower case; none without an answer."""
    connection = HTTPConnection("127.0.0.1", system.port, timeout=30)
    headers = {"content-type": "application/json", **system.launch.headers}
    try:
        connection.request("POST", "/v1/chat/completions", ask.body, headers)
        response = connection.getresponse()
        response.read()
        return {name.lower(): value for name, value in response.getheaders()}
    except (OSError, HTTPException):
        return {}
    finally:
        connection.close()


def _try(port: int, launch: Launch, ask: Ask) -> Fault | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"content-type": "application/json", **launch.headers}
    try:
        connection.request("POST", "/v1/chat/completions", ask.body, headers)
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException):
        return _SILENT
    finally:
        connection.close()
    media_type = response.getheader("content-type", "")
    return judge(
        status=response.status, media_type=media_type, body=body, streams=False, expected=ask.expected
    )
