"""Runs other people's SQL and draws charts in processes that can be killed: a pool of sandbox children."""

import asyncio
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from cloud.tools.sandbox_jobs import Failed, Job, Outcome

_ROOT = Path(__file__).parent.parent.parent
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_GRACE_S = 2.0
"""What a child has on top of a query's own limit, to load its tables and to say that it was late."""


class Sandbox:
    """At most `processes` children, started when first needed; a late or broken one is killed.

    A child knows neither the cloud's environment nor its files' paths, so no query can reach a secret.
    Open with `open_sandbox`.
    """

    def __init__(self, *, processes: int, memory_mb: int, folder: Path) -> None:
        self._free = asyncio.Semaphore(processes)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._memory_mb = memory_mb
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.absolute()
        self._decoder = msgspec.msgpack.Decoder(Outcome)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the children that are there now."""
        return tuple(child.pid for child in self._all)

    async def run(self, job: Job, *, timeout_s: float) -> Outcome:
        """What came of the job; Failed when it was late, or took its process down."""
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S), self._free:
                return await self._run(job)
        except TimeoutError:
            return Failed(message=f"it took longer than {timeout_s:g} s")

    async def _run(self, job: Job) -> Outcome:
        try:
            child = self._idle.pop() if self._idle else await self._start()
        except OSError:
            return Failed(message="the sandbox cannot be started")
        is_whole = False
        try:
            body = msgspec.msgpack.encode(job)
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(struct.pack(">I", len(body)) + body)
            await child.stdin.drain()
            (length,) = struct.unpack(">I", await child.stdout.readexactly(4))
            if length > _MAX_ANSWER_BYTES:
                return Failed(message="its result is too large")
            outcome: Outcome = self._decoder.decode(await child.stdout.readexactly(length))
            is_whole = True
        except (OSError, asyncio.IncompleteReadError):
            return Failed(message="it needs more memory than it may have, or cannot be computed")
        finally:
            if is_whole:
                self._idle.append(child)
            else:  # late, broken or cancelled: what it would say next belongs to nobody
                await self._end(child)
        return outcome

    async def _start(self) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cloud.tools.sandbox_child",
            str(self._memory_mb),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=_ROOT,
            env={"HOME": str(self._folder), "MPLCONFIGDIR": str(self._folder), "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self._all.add(child)
        return child

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        self._all.discard(child)
        if child.returncode is None:
            child.kill()
        if child.stdin is not None:
            child.stdin.close()
        await asyncio.shield(child.wait())

    async def close(self) -> None:
        for child in tuple(self._all):
            await self._end(child)


@asynccontextmanager
async def open_sandbox(folder: Path, *, processes: int = 2, memory_mb: int = 512) -> AsyncIterator[Sandbox]:
    """`folder` becomes the children's home; they write nothing into it. A query may have `memory_mb`."""
    sandbox = Sandbox(processes=processes, memory_mb=memory_mb, folder=folder)
    try:
        yield sandbox
    finally:
        await sandbox.close()
