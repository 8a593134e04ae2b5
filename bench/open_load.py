"""An open loop, a process of its own: requests are sent when they are due, answered or not."""

import asyncio
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator

import msgspec
import uvloop

from bench.connection import Connection, Judged
from bench.load import Job, head
from bench.questions import Ask, questions
from bench.workload import poisson

_TICK_S = 0.001
_LAST_ANSWERS_S = 30.0


class OpenJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to offer, and how often."""

    job: Job
    """Its `connections` bound how many can be on their way at a time."""
    rate: float
    """Requests a second."""
    seconds: float


class Offered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of what was offered. Latencies run from when a request was due."""

    rate: float
    seconds: float
    offered: int
    admitted_us: list[int]
    """Of whole and right answers."""
    refused_us: list[int]
    """Of refusals with 429 or 503 and `Retry-After`."""
    others: dict[str, int]
    """Everything else: refused without saying when, half, wrong, lost."""


class OpenRun:
    """Takes connections as it needs them; what is due while all are busy waits, and its clock runs."""

    def __init__(self, asked: OpenJob) -> None:
        self._asked = asked
        self._asks: Iterator[Ask] = questions(
            asked.job.questions, model=asked.job.model, streaming=asked.job.streaming, seed=asked.job.seed
        )
        self._head = head(asked.job)
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._due: deque[int] = deque()
        self._offered = 0
        self._over = 0
        self._admitted: list[int] = []
        self._refused: list[int] = []
        self._others: Counter[str] = Counter()

    async def offer(self) -> Offered:
        arrivals = poisson(self._asked.rate, self._asked.job.seed)
        started = time.perf_counter()
        upcoming = next(arrivals)
        while (elapsed := time.perf_counter() - started) < self._asked.seconds:
            while upcoming <= elapsed:
                self._due.append(int((started + upcoming) * 1e9))
                self._offered += 1
                upcoming = next(arrivals)
                self._give()
            await asyncio.sleep(_TICK_S)
        deadline = time.perf_counter() + _LAST_ANSWERS_S
        while self._over < self._offered and time.perf_counter() < deadline:  # noqa: ASYNC110  # once, at the end
            await asyncio.sleep(0.01)
        if lost := self._offered - self._over:
            self._others["lost: no answer in time"] += lost
        for connection in tuple(self._all):
            connection.close()
        return Offered(
            rate=self._asked.rate,
            seconds=self._asked.seconds,
            offered=self._offered,
            admitted_us=self._admitted,
            refused_us=self._refused,
            others=dict(self._others),
        )

    def _give(self) -> None:
        while self._due and self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                connection.send(next(self._asks), due_ns=self._due.popleft())
        if self._due and len(self._all) + len(self._opening) < self._asked.job.connections:
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        connection = Connection(head=self._head, over=self._judged, closed=self._closed)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, "127.0.0.1", self._asked.job.port
            )
        except OSError as error:
            if self._due:
                self._due.popleft()
                self._over += 1
                self._others[f"lost: cannot connect: {error.strerror}"] += 1
            return
        self._all.add(connection)
        self._idle.append(connection)
        self._give()

    def _closed(self) -> None:
        self._all = {connection for connection in self._all if connection.is_open}
        self._give()

    def _judged(self, connection: Connection, judged: Judged) -> None:
        self._over += 1
        if judged.fault is None:
            self._admitted.append(judged.microseconds)
        elif judged.status in (429, 503) and judged.says_when:
            self._refused.append(judged.microseconds)
        else:
            self._others[f"{judged.fault.kind}: {judged.fault.detail[:80]}"] += 1
        if connection.is_open:
            self._idle.append(connection)
        self._give()


def main() -> int:
    asked = msgspec.json.decode(sys.stdin.readline(), type=OpenJob)

    async def offer() -> Offered:
        return await OpenRun(asked).offer()

    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(offer())) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
