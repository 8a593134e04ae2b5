"""Runs an image's files as a container runtime would, with the kernel's namespaces alone."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.buildah import CheckFailed, Image

UID = 10001
_LONGEST_S = 120

# Read-only root, fresh /proc, /dev, /tmp and /run, the mounts asked for; then no privileges at all.
_ENTER = """
root=$1; net=$2; shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
for name in null zero full random urandom; do
  : > "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
while [ "$1" != -- ]; do
  if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : > "$root$2"; fi
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
[ "$net" = shared ] || ip link set lo up
exec chroot "$root" "$@"
"""


@dataclass(kw_only=True)
class Container:
    """One image started: process 1 of its own process, mount and (unless shared) network namespaces."""

    image: Image
    mounts: Mapping[Path, str]
    """What is bound where inside; all of it readable by the image's user."""
    environ: Mapping[str, str] = field(default_factory=dict)
    network_of: "Container | None" = None
    log: Path
    _process: subprocess.Popen[bytes] | None = None
    _pid: int = 0

    def start(self, *arguments: str) -> None:
        share = (
            [] if self.network_of is None else ["nsenter", f"--net=/proc/{self.network_of.pid}/ns/net", "--"]
        )
        own = ["--mount", "--pid", "--ipc", "--uts", *(["--net"] if self.network_of is None else [])]
        mounts = [word for source, target in self.mounts.items() for word in (str(source), target)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(*share, "unshare", *own, "--fork", "--", "sh", "-euc", _ENTER, "enter"),
                    *(str(self.image.root), "shared" if share else "own", *mounts, "--"),
                    *(*self._unprivileged(), *self.image.entrypoint, *arguments),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if arguments else log,
                stderr=log,
            )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit status and standard output of the entrypoint with these arguments."""
        self.start(*arguments)
        assert self._process is not None
        output, _ = self._process.communicate(timeout=_LONGEST_S)
        return self._process.returncode, (output or b"").decode()

    @property
    def pid(self) -> int:
        """Process 1 of the container, as this machine numbers it."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        give_up = time.monotonic() + 5
        while not self._pid and time.monotonic() < give_up and self._process.poll() is None:
            self._pid = int(next(iter(children.read_text().split()), "0"))
            time.sleep(0.01)
        if not self._pid:
            raise CheckFailed(f"{self.image.name} did not start: {self.last_words()}")
        return self._pid

    def execute(self, *command: str) -> tuple[int, str]:
        """Another command inside, as the same user."""
        inside = ["--mount", "--pid", "--ipc", "--uts", "--net", "--root"]
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), *inside, "--", *self._unprivileged(), *command],
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self, within_s: float) -> tuple[int, float]:
        """Exit status after SIGTERM to process 1, and the seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"{self.image.name} still runs {within_s:g} s after SIGTERM") from None
        return status, time.monotonic() - began

    def close(self) -> None:
        if self.is_running():
            assert self._process is not None
            # Process 1 itself: the kernel takes the rest of its namespace with it.
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self) -> str:
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def _unprivileged(self) -> list[str]:
        environ = {**self.image.environ, "HOME": "/nonexistent", **self.environ}
        return [
            *("/usr/bin/setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *("/usr/bin/env", "-i", "-C", self.image.working_dir),
            *(f"{name}={value}" for name, value in environ.items()),
        ]
