"""The command lines, as processes of their own: what a person at a shell sees."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec
import pytest

from cloud.settings import CloudSettings
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.settings import ServiceSettings
from edge.settings import EdgeSettings
from tests.support.stack import ECHO, ask

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
"""For a machine that has other things to do; nothing here waits this long otherwise."""


def environment(**variables: str) -> dict[str, str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("WAYSIDE_", "OTEL_"))
    }
    return {**inherited, "PYTHONPATH": str(ROOT), **variables}


def run(service: str, *arguments: str, cwd: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", service, *arguments],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A service that listens."""

    process: "subprocess.Popen[str]"
    url: str


@contextmanager
def started(service: str, *arguments: str, cwd: Path, **variables: str) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", service, "--port", "0", "--data-dir", str(cwd), *arguments],
        cwd=cwd,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        port = json.loads(line)["port"]
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(trust_env=False) as client:
            give_up = time.monotonic() + PATIENCE_S
            while time.monotonic() < give_up:
                try:
                    if client.get(f"{url}/healthz").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.02)
        yield Running(process=process, url=url)
    finally:
        process.kill()
        process.communicate()


def add_key(folder: Path, service: str = "edge", *, role: str = "client", development: bool = False) -> str:
    file = KeyFile(folder / f"{service}-keys.json")
    return file.add(tenant="acme", role="edge" if role == "edge" else "client", development=development)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A start that must fail: what is wrong, and what the one line says."""

    wrong: str
    says: str
    service: str = "edge"
    arguments: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    has_key: bool = True


MISSING = '[providers.p]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\napi_key_env = "NOT_SET"\n'
MODEL = '[[models]]\nname = "m"\nprovider = "p"\n'

REFUSALS = [
    Refusal(
        wrong="no key",
        says=r"no API key in .*edge-keys\.json; make one: python -m edge keys add",
        has_key=False,
    ),
    Refusal(
        wrong="a file in the place of the data folder",
        says=r"cannot write to the data folder .*taken: ",
        arguments=("--data-dir", "taken"),
        files=(("taken", ""),),
    ),
    Refusal(wrong="a bad number", says=r"--port: expected `int`, got `str`", arguments=("--port", "many")),
    Refusal(
        wrong="an unknown setting in the file",
        says=r"wayside\.toml: \[edge\] has no setting `prot`",
        files=(("wayside.toml", "[edge]\nprot = 1\n"),),
    ),
    Refusal(wrong="broken TOML", says=r"wayside\.toml: ", files=(("wayside.toml", "[edge\n"),)),
    Refusal(
        wrong="no providers file",
        says=r"cannot read the providers file absent\.toml: ",
        service="cloud",
        arguments=("--providers-file", "absent.toml"),
    ),
    Refusal(
        wrong="a provider's key that is not set",
        says=r"provider `p`: the environment variable NOT_SET is not set",
        service="cloud",
        arguments=("--providers-file", "p.toml", "--port", "0"),
        files=(("p.toml", MISSING + MODEL),),
    ),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.wrong)
def test_a_start_that_must_fail_says_why_in_one_line(tmp_path: Path, refusal: Refusal) -> None:
    if refusal.has_key:
        add_key(tmp_path, refusal.service)
    for name, text in refusal.files:
        (tmp_path / name).write_text(text, "utf-8")
    arguments = ["--data-dir", str(tmp_path), *refusal.arguments]
    ended = run(refusal.service, *arguments, cwd=tmp_path, **dict(refusal.variables))
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert re.match(rf"wayside( {refusal.service})?: .*{refusal.says}", line)


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    add_key(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("edge", "--port", str(port), "--data-dir", str(tmp_path), cwd=tmp_path)
    assert ended.returncode != 0
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"wayside edge: cannot listen on 127.0.0.1:{port}: Address already in use")


def test_a_setting_nobody_knows_is_refused_without_a_traceback(tmp_path: Path) -> None:
    ended = run("edge", "--prot", "1", cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == "wayside edge: there is no flag --prot; see --help\n"


@pytest.mark.parametrize(("service", "settings"), [("edge", EdgeSettings), ("cloud", CloudSettings)])
def test_help_lists_every_setting(tmp_path: Path, service: str, settings: type[ServiceSettings]) -> None:
    ended = run(service, "--help", cwd=tmp_path)
    text = " ".join(ended.stdout.split())
    assert ended.returncode == 0
    for field in msgspec.structs.fields(settings):
        assert f"[WAYSIDE_{service.upper()}_{field.name.upper()};" in text
    assert "--config FILE" in text


def test_a_development_key_opens_no_door_to_the_network(tmp_path: Path) -> None:
    add_key(tmp_path, development=True)
    ended = run("edge", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path), cwd=tmp_path)
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert "development keys work on a loopback bind only" in line


def test_a_stop_signal_ends_the_process_while_a_stream_is_running(tmp_path: Path) -> None:
    key = add_key(tmp_path, "cloud")
    slow = ECHO.replace('kind = "scripted"', 'kind = "scripted"\ntokens_per_s = 2')
    (tmp_path / "p.toml").write_text(slow, "utf-8")
    arguments = ("--providers-file", "p.toml", "--shutdown-grace-s", "1")
    with (
        started("cloud", *arguments, cwd=tmp_path) as cloud,
        httpx.Client(trust_env=False, timeout=PATIENCE_S) as client,
        client.stream(
            "POST",
            f"{cloud.url}/v1/chat/completions",
            json=ask("word " * 200, stream=True),
            headers={"authorization": f"Bearer {key}"},
        ) as answer,
    ):
        parts = answer.iter_bytes()
        assert b"data: " in next(parts)
        told = time.monotonic()
        cloud.process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.TransportError):
            assert b"[DONE]" not in b"".join(parts)
        _, complaints = cloud.process.communicate(timeout=PATIENCE_S)
        assert time.monotonic() - told < 8
    assert "Traceback" not in complaints


def test_a_key_is_added_and_revoked_and_a_running_edge_follows_within_two_seconds(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))
    added = run("edge", "keys", "add", "--tenant", "acme", *folder, cwd=tmp_path)
    key = added.stdout.strip()
    assert added.returncode == 0
    assert key.startswith("ws-")
    assert added.stdout.count("\n") == 1, "the key alone, so that a script can take it"
    assert (tmp_path / "edge-keys.json").stat().st_mode & 0o777 == 0o600

    (record,) = KeyFile(tmp_path / "edge-keys.json").records()
    with (
        started("edge", "--upstream-url", "http://127.0.0.1:9/v1", cwd=tmp_path) as edge,
        httpx.Client(
            base_url=edge.url, headers={"authorization": f"Bearer {key}"}, trust_env=False
        ) as client,
    ):
        assert client.get("/v1/models").status_code != 401
        revoked = run("edge", "keys", "revoke", record.id, *folder, cwd=tmp_path)
        since = time.monotonic()
        assert revoked.returncode == 0
        while client.get("/v1/models").status_code != 401:
            assert time.monotonic() - since < 2
            time.sleep(0.05)
