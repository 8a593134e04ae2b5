"""Builds images with buildah: no daemon, no registry, and a base made by debootstrap."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "localhost/python:3.11-slim-bookworm"
"""What `FROM python:3.11-slim-bookworm` finds first: a short name is looked up on this machine."""

_SUITE = "bookworm"
_PATH = "/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST_S = 1800
_INSIDE = "ca-certificates,netbase,tzdata,python3,python-is-python3,python3-venv"

# The official base has pip beside its own Python, no Debian packages of it, and no manuals.
_LIKE_THE_OFFICIAL_BASE = """
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
PYTHONPATH=$(echo /usr/share/python-wheels/pip-*.whl) python -m pip install -q --no-index --no-cache-dir \
  --root-user-action ignore --find-links /usr/share/python-wheels pip setuptools
dpkg --purge python3-venv python3.11-venv python3-pip-whl python3-setuptools-whl
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /usr/share/info/*
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /debootstrap
"""


class CheckFailed(Exception):
    """Something is not as it must be; the message is the one line to show."""


def must(holds: bool, complaint: str) -> None:
    """Raises CheckFailed."""
    if not holds:
        raise CheckFailed(complaint)


def step(text: str) -> None:
    print(f"images: {text}", flush=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What a built image says of itself."""

    name: str
    root: Path
    """Its files, mounted."""
    size_bytes: int
    user: str
    environ: Mapping[str, str]
    entrypoint: tuple[str, ...]
    healthcheck: tuple[str, ...]
    working_dir: str
    volumes: frozenset[str]


class Store:
    """Images and wheels in one folder, for one user at a time; `close` leaves no container in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "last.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)

    def close(self) -> None:
        with contextlib.suppress(CheckFailed):
            self._buildah("rm", "--all")

    def has_base(self) -> bool:
        return bool(self._buildah("images", "--quiet", "--filter", f"reference={BASE}").strip())

    def make_base(self) -> None:
        """A stand-in for the official base: the same Debian, with Debian's own Python 3.11."""
        container = self._container("scratch")
        root = self._buildah("mount", container).strip()
        self.run("debootstrap", "--variant=minbase", f"--include={_INSIDE}", _SUITE, root, *self._mirror())
        self.run("chroot", root, "sh", "-euc", _LIKE_THE_OFFICIAL_BASE)
        self._buildah("config", "--env", f"PATH={_PATH}", "--cmd", "python", container)
        self._buildah("umount", container)
        self._buildah("commit", "--quiet", "--rm", container, BASE)

    def fetch_wheels(self, name: str, locks: tuple[Path, ...]) -> Path:
        """The locked wheels, fetched by this machine's own pip, which knows its indexes and certificates."""
        folder = self._folder / "wheels" / name
        stamp = folder / "locks.sha256"
        wanted = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()
        if stamp.is_file() and stamp.read_text() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for lock in locks:
            self.run(
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"),
                *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
                *("--dest", str(folder), "--requirement", str(lock)),
            )
        stamp.write_text(wanted)
        return folder

    def build(self, name: str, dockerfile: Path, wheels: Path) -> Image:
        """Build a Dockerfile, whose pip finds nothing but these wheels."""
        secret = self._folder / "pip.conf"
        with _served(wheels) as address:
            secret.write_text(f"[global]\nno-index = true\nfind-links = {address}\n")
            self._buildah(
                *("build", "--quiet", "--isolation", "chroot", "--pull=never", "--format", "docker"),
                *("--no-cache", "--force-rm", "--secret", f"id=pip.conf,src={secret}"),
                *("--tag", name, "--file", str(dockerfile), str(dockerfile.parent)),
            )
        self._buildah("rmi", "--prune", "--force")
        container = self._container(name)
        config: dict[str, Any] = json.loads(self._buildah("inspect", "--type", "image", name))
        own: dict[str, Any] = config["Docker"]["config"]
        return Image(
            name=name,
            root=Path(self._buildah("mount", container).strip()),
            size_bytes=self.size_bytes(name),
            user=own.get("User", ""),
            environ=dict(entry.split("=", 1) for entry in own.get("Env", ())),
            entrypoint=tuple(own.get("Entrypoint") or ()),
            healthcheck=tuple(own.get("Healthcheck", {}).get("Test", ())),
            working_dir=own.get("WorkingDir", ""),
            volumes=frozenset(own.get("Volumes") or ()),
        )

    def size_bytes(self, name: str) -> int:
        """All layers, unpacked."""
        manifest = json.loads(json.loads(self._buildah("inspect", "--type", "image", name))["Manifest"])
        return sum(int(layer["size"]) for layer in manifest["layers"])

    def run(self, *command: str) -> str:
        """Standard output of a command that must succeed; everything it says goes to the log."""
        environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        # A proxy has no way to the wheels, which are served on this machine.
        environ["no_proxy"] = ",".join(filter(None, ["127.0.0.1", environ.get("no_proxy")]))
        done = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_LONGEST_S,
        )
        with self._log.open("a") as log:
            log.write(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}\n")
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            last = lines[-1].strip() if lines else f"exit status {done.returncode}"
            raise CheckFailed(f"{command[0]} failed: {last} (all of it in {self._log})")
        return done.stdout

    def _buildah(self, *arguments: str) -> str:
        # vfs needs nothing of the kernel; another driver may be faster where it works.
        driver = os.environ.get("STORAGE_DRIVER") or "vfs"
        places = ("--root", str(self._folder / "store"), "--runroot", str(self._folder / "run"))
        return self.run("buildah", *places, "--storage-driver", driver, *arguments)

    def _mirror(self) -> tuple[str, ...]:
        """This machine's own source of the suite, if it has one; else debootstrap's."""
        if shutil.which("apt-get") is None:
            return ()
        asked = ("Created-By: Packages", f"Codename: {_SUITE}")
        return tuple(self.run("apt-get", "indextargets", "--format", "$(REPO_URI)", *asked).split()[:1])

    def _container(self, image: str) -> str:
        return self._buildah("from", "--pull-never", image).strip()


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The folder over HTTP on loopback, which a build in the machine's own network can reach."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
