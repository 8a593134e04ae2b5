"""Both services on this machine with embedded defaults: what `make run` starts."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cloud.wire.keys import Keyring, Role, new_key
from cloud.wire.service.keyfile import KeyFile, write_private
from cloud.wire.service.settings import StartUpError, writable_folder

_READY_WITHIN_S = 120
_STOPPED_WITHIN_S = 15


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the services of this machine listen and keep their files."""

    edge_port: int
    cloud_port: int
    data_dir: Path

    @property
    def edge_keys(self) -> KeyFile:
        return KeyFile(self.data_dir / "edge-keys.json")

    @property
    def cloud_keys(self) -> KeyFile:
        return KeyFile(self.data_dir / "cloud-keys.json")


def place_from(environ: Mapping[str, str]) -> Place:
    """Reads EDGE_PORT, CLOUD_PORT and DATA_DIR."""

    def port(name: str, default: int) -> int:
        text = environ.get(name) or str(default)
        if not text.isdigit() or not 1 <= int(text) <= 65535:
            raise StartUpError(f"{name} must be a port from 1 to 65535, not `{text}`")
        return int(text)

    return Place(
        edge_port=port("EDGE_PORT", 8080),
        cloud_port=port("CLOUD_PORT", 8090),
        data_dir=Path(environ.get("DATA_DIR") or "data").absolute(),
    )


def development_key(file: Path, *, role: Role, rings: tuple[KeyFile, ...]) -> str:
    """The key in `file`, honoured by every ring; made when it is not there or no longer known."""
    try:
        token = file.read_text("utf-8").strip()
    except OSError:
        token = ""
    if token and all(Keyring(ring.records()).authenticate(token) for ring in rings):
        return token
    now = datetime.now(UTC).isoformat(timespec="seconds")
    token, record = new_key(tenant="dev", role=role, created_at=now, development=True)
    for ring in rings:
        ring.keep(record)
    write_private(file, token.encode() + b"\n")
    return token


def run(place: Place) -> int:
    writable_folder(place.data_dir)
    # Before anything starts: a stranger on one of the ports would pass for a service of ours.
    _require_free(place.edge_port, "EDGE_PORT")
    _require_free(place.cloud_port, "CLOUD_PORT")
    key = development_key(
        place.data_dir / "dev.key", role="client", rings=(place.edge_keys, place.cloud_keys)
    )
    credential = place.data_dir / "edge.credential"
    development_key(credential, role="edge", rings=(place.cloud_keys,))
    shared = ["--host", "127.0.0.1", "--data-dir", str(place.data_dir)]
    services: list[subprocess.Popen[bytes]] = []
    try:
        services.append(_spawn("cloud", [*shared, "--port", str(place.cloud_port)]))
        upstream = ["--upstream-url", f"http://127.0.0.1:{place.cloud_port}/v1"]
        services.append(
            _spawn(
                "edge",
                [*shared, "--port", str(place.edge_port), *upstream, "--upstream-key-file", str(credential)],
            )
        )
        for port in (place.cloud_port, place.edge_port):
            if not _ready(port, services):
                return 1
        print(_welcome(place, key), flush=True)
        while all(service.poll() is None for service in services):
            time.sleep(0.2)
        print("wayside: a service stopped; stopping the other", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(services)


def _require_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartUpError(
                f"port {port} is taken ({error.strerror}); choose another: make run {variable}={port + 1}"
            ) from error


def _spawn(service: str, arguments: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", service, *arguments])


def _ready(port: int, services: list["subprocess.Popen[bytes]"]) -> bool:
    """Wait until the service answers; False when one of them gave up (it has said why)."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < give_up:
        if any(service.poll() is not None for service in services):
            return False
        try:
            with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    print(f"wayside: nothing is ready on port {port} after {_READY_WITHIN_S} s", file=sys.stderr)
    return False


def _stop(services: list["subprocess.Popen[bytes]"]) -> None:
    for service in reversed(services):
        service.send_signal(signal.SIGTERM)
    for service in services:
        try:
            service.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait()


def _welcome(place: Place, key: str) -> str:
    base = f"http://127.0.0.1:{place.edge_port}/v1"
    return f"""
Wayside is running.  Ctrl-C stops it.

  edge   http://127.0.0.1:{place.edge_port}   your applications talk to this one
  cloud  http://127.0.0.1:{place.cloud_port}   the same API, for heavy tasks
  key    {key}   (kept in {place.data_dir / "dev.key"})

Try it from a shell:

curl {base}/chat/completions -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \
-d '{{"model": "auto", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'

or from Python (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{base}", api_key="{key}")
print(client.chat.completions.create(model="auto", messages=[{{"role": "user", "content": "Hello!"}}]).choices[0].message.content)
"""  # noqa: E501 - a line to paste stays one line


def main() -> int:
    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    # Both by hand: a shell that starts this in the background has SIGINT ignored, which Python inherits.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return run(place_from(os.environ))
    except StartUpError as error:
        print(f"wayside: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
