"""Runs the load generator and the static upstream from outside, as processes of their own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench.load import Job, Line, Progress, Ready, Result
from bench.processes import DidNotStart, base_environment

ROOT = Path(__file__).resolve().parent.parent
"""The folder `edge`, `cloud` and `bench` are imported from."""

_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


class Generator:
    """A generator that is warmed up and waits for the word."""

    def __init__(self, process: subprocess.Popen[bytes], job: Job, progress: Callable[[int], object]) -> None:
        self._process = process
        self._tell(msgspec.json.encode(job) + b"\n")
        while not isinstance(line := self._hear(), Ready):
            if isinstance(line, Progress):
                progress(line.done)
        progress(job.warmup)
        self.warmup = line

    def run(self, progress: Callable[[int], object]) -> Result:
        """Open the measured window; `progress` hears how many requests are done."""
        self._tell(b"\n")
        while not isinstance(line := self._hear(), Result):
            if isinstance(line, Progress):
                progress(line.done)
        progress(line.sent)
        return line

    def _hear(self) -> Line:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DidNotStart(f"the load generator ended with status {self._process.wait()}")
        return _decoder.decode(line)

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


@contextmanager
def generator(job: Job, progress: Callable[[int], object]) -> Iterator[Generator]:
    """A generator past its warm-up."""
    with _piped("bench.load") as process:
        yield Generator(process, job, progress)


@contextmanager
def static_upstream() -> Iterator[int]:
    """The port of a running static upstream."""
    with _piped("bench.upstream") as process:
        assert process.stdout is not None
        port = process.stdout.readline()
        if not port:
            raise DidNotStart("the static upstream did not start")
        yield int(port)


@contextmanager
def _piped(module: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=base_environment(),
        cwd=ROOT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
