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
    with piped("bench.load") as process:
        yield Generator(process, job, progress)


@contextmanager
def static_upstream(port: int = 0) -> Iterator[int]:
    """The port of a running static upstream: a free one unless one is asked for."""
    with piped("bench.upstream", "--port", str(port)) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        if not told:
            raise DidNotStart("the static upstream did not start")
        yield int(told)


@contextmanager
def piped(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A module of ours as a process that is spoken with over its standard input and output."""
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", module, *arguments],
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
