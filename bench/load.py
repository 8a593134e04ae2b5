"""The load generator, a process of its own: a closed loop over keep-alive connections."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import uvloop

from bench.answers import Fault
from bench.connection import Connection, Judged
from bench.questions import Ask, Questions, Streaming, questions
from bench.truth import Route

_PROGRESS_EVERY_S = 0.2
_RETRY_CONNECTING_S = 0.05
_FAULTS_DESCRIBED = 10


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to send where. Bounded in count (`requests`) and in time (`limit_s`)."""

    port: int
    headers: dict[str, str]
    model: str
    questions: Questions
    streaming: Streaming
    connections: int
    warmup: int
    requests: int
    seed: int = 0
    limit_s: float = 120.0
    """When it is over no new request is sent; the count in the result says how many were."""
    warmup_limit_s: float = 30.0
    answer_limit_s: float = 30.0
    served: Route | None = None
    """Where every answer must come from; None where that is not looked at."""


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A fault and how often it came."""

    kind: str
    detail: str
    count: int


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """Warmed up; the measured window opens at the next line on standard input."""

    sent: int
    faults: dict[str, int]
    described: list[Described]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    done: int


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """What happened in the measured window."""

    sent: int
    seconds: float
    generator_cpu_s: float
    """Near `seconds`, the generator was the limit and the rate is the generator's."""
    latencies_us: list[int]
    """Of every request, faulty ones too."""
    faults: dict[str, int]
    described: list[Described]


Line = Ready | Progress | Result


class Run:
    """Sends `count` requests, or what fits into `limit_s`, one at a time on each connection."""

    def __init__(self, job: Job, asks: Iterator[Ask], count: int, limit_s: float) -> None:
        self._job = job
        self._asks = asks
        self._count = count
        self._sent = 0
        self._deadline = time.monotonic() + limit_s
        self._connections: set[Connection] = set()
        self._finished = asyncio.Event()
        self._head = head(job)
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies_us: list[int] = []
        self.faults: Counter[Fault] = Counter()

    @property
    def done(self) -> int:
        return len(self.latencies_us)

    def faults_by_kind(self) -> dict[str, int]:
        kinds: Counter[str] = Counter()
        for fault, count in self.faults.items():
            kinds[fault.kind] += count
        return dict(kinds)

    def described(self) -> list[Described]:
        """The commonest faults in words."""
        return [
            Described(kind=fault.kind, detail=fault.detail, count=count)
            for fault, count in self.faults.most_common(_FAULTS_DESCRIBED)
        ]

    async def over(self) -> None:
        """Return when every request sent was answered, failed or given up."""
        for _ in range(self._job.connections):
            self._open()
        watch = asyncio.create_task(self._watch())
        try:
            await self._finished.wait()
        finally:
            watch.cancel()
            for connection in self._connections:
                connection.close()

    def _open(self) -> None:
        task = asyncio.create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        connection = Connection(
            head=self._head, over=self._over, closed=self._reopen, served=self._job.served
        )
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, "127.0.0.1", self._job.port
            )
        except OSError as error:
            if self._take() is not None:
                self._note(
                    Judged(microseconds=0, fault=Fault(kind="lost", detail=f"cannot connect: {error}"))
                )
            await asyncio.sleep(_RETRY_CONNECTING_S)
            self._reopen()
            return
        self._connections = {known for known in self._connections if known.is_open} | {connection}
        self._next(connection)

    def _reopen(self) -> None:
        if self._may_send() and not self._finished.is_set():
            self._open()

    def _may_send(self) -> bool:
        return self._sent < self._count and time.monotonic() < self._deadline

    def _take(self) -> Ask | None:
        if not self._may_send():
            return None
        self._sent += 1
        return next(self._asks)

    def _next(self, connection: Connection) -> None:
        ask = self._take()
        if ask is not None:
            connection.send(ask)
        elif self.done == self._sent:
            self._finished.set()

    def _over(self, connection: Connection, judged: Judged) -> None:
        self._note(judged)
        if connection.is_open:
            self._next(connection)

    def _note(self, judged: Judged) -> None:
        self.latencies_us.append(judged.microseconds)
        if judged.fault is not None:
            self.faults[judged.fault] += 1
        if self.done == self._sent and not self._may_send():
            self._finished.set()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            _say(Progress(done=self.done))
            for connection in tuple(self._connections):
                if connection.waited_s > self._job.answer_limit_s:
                    connection.give_up()
            if self.done == self._sent and not self._may_send():
                self._finished.set()


def head(job: Job) -> bytes:
    """Of every request, all but its length."""
    headers = {"host": f"127.0.0.1:{job.port}", "content-type": "application/json", **job.headers}
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    return ("POST /v1/chat/completions HTTP/1.1\r\n" + "".join(lines)).encode("latin-1")


def _say(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


async def generate(job: Job) -> Result:
    """Warm up, say so, wait for the word, then send and measure."""
    asks = questions(job.questions, model=job.model, streaming=job.streaming, seed=job.seed)
    warmup = Run(job, asks, job.warmup, job.warmup_limit_s)
    if job.warmup:
        await warmup.over()
    _say(Ready(sent=warmup.done, faults=warmup.faults_by_kind(), described=warmup.described()))
    await asyncio.to_thread(sys.stdin.readline)
    run = Run(job, asks, job.requests, job.limit_s)
    cpu_s, started = time.process_time(), time.perf_counter()
    await run.over()
    return Result(
        sent=run.done,
        seconds=time.perf_counter() - started,
        generator_cpu_s=time.process_time() - cpu_s,
        latencies_us=run.latencies_us,
        faults=run.faults_by_kind(),
        described=run.described(),
    )


def main() -> int:
    job = msgspec.json.decode(sys.stdin.readline(), type=Job)
    _say(uvloop.run(generate(job)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
