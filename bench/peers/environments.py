"""Environments of the peers: made on demand in a git-ignored folder, from pinned versions."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import DidNotStart

_INSTALL_LIMIT_S = 900
_STAMP = ".installed"
"""Holds the digest of the pins an environment was made from; without it, or with another, it is made anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonEnvironment:
    """A virtual environment with the packages of one lock file."""

    folder: Path
    lock: Path
    package: str

    def prepare(self) -> str:
        """Install what the lock file says unless that was done. Raises DidNotStart with pip's last line."""
        with _made_once(self.folder, (self.lock,)) as is_missing:
            if is_missing:
                _run([sys.executable, "-m", "venv", str(self.folder)])
                pip = [str(self.program("python")), "-m", "pip", "install", "--quiet", "--no-deps"]
                _run([*pip, "--requirement", str(self.lock)])
        return self._version()

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name

    def _version(self) -> str:
        """As the lock file pins it."""
        for line in self.lock.read_text("utf-8").splitlines():
            name, _, version = line.partition("==")
            if name.partition("[")[0] == self.package:
                return version
        raise DidNotStart(f"{self.lock.name} does not pin {self.package}")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeEnvironment:
    """A folder with the packages of one package-lock.json."""

    folder: Path
    manifests: Path
    package: str

    def prepare(self) -> str:
        """Install what the lock file says unless that was done. Raises DidNotStart with npm's last line."""
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise DidNotStart(f"{program} is not installed")
        names = ("package.json", "package-lock.json")
        manifests = tuple(self.manifests / name for name in names)
        with _made_once(self.folder, manifests) as is_missing:
            if is_missing:
                self.folder.mkdir(parents=True)
                for manifest in manifests:
                    shutil.copy(manifest, self.folder)
                # No scripts: nothing here is compiled, and nothing needs to run at install.
                _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder=self.folder)
        pinned = json.loads((self.manifests / "package.json").read_text("utf-8"))
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30).stdout  # noqa: S607
        return f"{pinned['dependencies'][self.package]} on node {node.strip()}"


@contextmanager
def _made_once(folder: Path, pins: Sequence[Path]) -> Iterator[bool]:
    """True when the environment has to be made; half an environment is never taken for a whole one."""
    digest = hashlib.sha256(b"".join(pin.read_bytes() for pin in pins)).hexdigest()
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text("utf-8") == digest:
        yield False
        return
    shutil.rmtree(folder, ignore_errors=True)
    yield True
    stamp.write_text(digest, "utf-8")


def _run(command: Sequence[str], folder: Path | None = None) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # pip and npm, with files of this folder
            command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DidNotStart(f"cannot be installed: {error}") from error
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = next((line for line in reversed(lines) if "ERR" in line.upper()), lines[-1] if lines else "")
        raise DidNotStart(f"cannot be installed: {last[:300]}")
