"""Child processes: started in a group of their own, measured with all they start, always ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GRACE_S = 5.0
_LOG_TAIL_LINES = 6


class DidNotStart(Exception):
    """A process ended, or stayed silent, before it was ready; the message says what it said last."""


class Child:
    """A process and everything it started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def cpu_s(self) -> float:
        """User and system time of the tree so far, seconds; what ended and was waited for included."""
        return sum(_cpu_clock_s(pid) + _reaped_cpu_s(pid) for pid in tree(self.pid))

    def rss_bytes(self) -> int:
        """Resident memory of the tree; pages that several of its processes share count in each."""
        return sum(_rss_bytes(pid) for pid in tree(self.pid))

    def last_words(self) -> str:
        with suppress(OSError):
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
            return " | ".join(line.strip() for line in lines[-_LOG_TAIL_LINES:])[-600:] or "it said nothing"
        return "it left no log"

    def stop(self) -> None:
        """Ask the group to end, then make the whole tree end."""
        members = tree(self.pid)
        _signal_group(self.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        _signal_group(self.pid, signal.SIGKILL)
        for pid in members - {self.pid}:
            if os.getpid() != pid and Path(f"/proc/{pid}").exists():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str], folder: Path | None = None
) -> Iterator[Child]:
    """The child, for the time of the block; what it prints goes to `log`, a file, as a service's would."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # commands are built here, from constants and free ports
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    child = Child(process, log)
    try:
        yield child
    finally:
        child.stop()


def base_environment() -> dict[str, str]:
    """What every child gets: enough to run, no proxy on the way to loopback, no settings of the caller's."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def tree(root: int) -> set[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    pending = [root]
    while pending:
        pid = pending.pop()
        if pid not in found:
            found.add(pid)
            pending.extend(children.get(pid, ()))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command's name (proc(5)): state, ppid, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None


def _cpu_clock_s(pid: int) -> float:
    """User and system time of one process, from its CPU clock (clock_getcpuclockid(3)).

    The same sum as utime + stime of /proc/PID/stat, in nanoseconds in place of ticks of 10 ms, which
    are as long as two hundred requests of the fastest peers.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return ticks_s(pid)


def ticks_s(pid: int) -> float:
    """utime + stime of /proc/PID/stat."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _reaped_cpu_s(pid: int) -> float:
    """cutime + cstime: children that ended and were waited for."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[13]) + int(fields[14])) / _TICKS_PER_S


def _rss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_on_signals() -> None:
    """Turn SIGTERM and SIGHUP into an exit that runs every `finally`, so that no child stays behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
