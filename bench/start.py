"""`start`: how soon a cold edge answers, what importing it takes, what it holds in memory."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from bench.driving import ROOT, generator, static_upstream
from bench.figures import Spread, spread
from bench.load import Described, Job, Result
from bench.processes import Child, DidNotStart, base_environment, free_port, running
from bench.progress import bar, unseen
from bench.questions import questions
from bench.systems import FORWARDING_ALONE, Edge, Running, asked_once, started
from bench.tables import Bar, counted, described, megabytes

_START_LIMIT_S = 60.0
_POLL_S = 0.002
_MOST_READY_S = 1.0
_MOST_DECISION_S = 2.0
_MOST_RSS_MB = 120.0
_IMPORT = """\
import time
started = time.perf_counter()
import edge.app
print(time.perf_counter() - started)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """Times in seconds, sizes in bytes, faults of the load that came between the two sizes."""

    ready_s: Spread
    import_s: Spread
    rss_ready: int
    rss_loaded: int
    decision_s: Spread
    """From spawning it, with models, to the first request that was read, decided and forwarded."""
    rss_deciding: int
    requests: int
    faults: dict[str, int]
    described: list[Described]


def measure(*, runs: int, requests: int, concurrency: int) -> Started:
    with bar(3 * runs + 1, "run") as shown, static_upstream() as upstream_port:
        shown.begin("cold starts")
        cold = []
        for _ in range(runs):
            cold.append(_cold_start(upstream_port))
            shown.end(1)
        shown.begin("first decisions")
        decided = []
        for _ in range(runs):
            decided.append(_first_decision(upstream_port))
            shown.end(1)
        shown.begin("imports")
        import_s = []
        for _ in range(runs):
            import_s.append(_import_s())
            shown.end(1)
        shown.begin(f"{requests} requests")
        rss_loaded, result = _loaded(upstream_port, requests, concurrency)
        shown.end(1)
    return Started(
        ready_s=spread([seconds for seconds, _ in cold]),
        import_s=spread(import_s),
        rss_ready=max(rss for _, rss in cold),
        rss_loaded=rss_loaded,
        decision_s=spread([seconds for seconds, _ in decided]),
        rss_deciding=max(rss for _, rss in decided),
        requests=result.sent,
        faults=result.faults,
        described=result.described,
    )


def until_healthy(child: Child, port: int) -> None:
    """Return at the first 200 on /healthz. Raises DidNotStart."""
    deadline = time.monotonic() + _START_LIMIT_S
    while not _is_healthy(port):
        if child.has_ended:
            raise DidNotStart(f"it ended: {child.last_words()}")
        if time.monotonic() > deadline:
            raise DidNotStart(f"it did not answer on /healthz in {_START_LIMIT_S:g} s")
        time.sleep(_POLL_S)


def _is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _cold_start(upstream_port: int) -> tuple[float, int]:
    """Seconds from spawning the process to its first answer, and its resident bytes then.

    Cold is the process, not the disk: its files may be in the system's cache.
    """
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
        port = free_port()
        launch = Edge(settings=FORWARDING_ALONE).launch(
            port=port, upstream_port=upstream_port, folder=Path(folder)
        )
        began = time.perf_counter()
        log = Path(folder) / "log"
        with running(launch.command, log=log, environment=base_environment(), folder=ROOT) as child:
            until_healthy(child, port)
            return time.perf_counter() - began, child.rss_bytes()


def _first_decision(upstream_port: int) -> tuple[float, int]:
    """Seconds from spawning the edge with its models to its first answer, and its resident bytes then."""
    edge = Edge()
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as made:
        folder, port = Path(made), free_port()
        launch = edge.launch(port=port, upstream_port=upstream_port, folder=folder)
        ask = next(questions("short", model=launch.model, streaming="never", seed=0))
        began = time.perf_counter()
        with running(
            launch.command, log=folder / "log", environment=base_environment(), folder=ROOT
        ) as child:
            until_healthy(child, port)
            headers = asked_once(Running(child=child, port=port, launch=launch), ask)
            taken = time.perf_counter() - began
            if "encode" not in headers.get("server-timing", ""):
                raise DidNotStart(f"the edge decided nothing: {child.last_words()}")
            return taken, child.rss_bytes()


def _import_s() -> float:
    """Importing `edge.app` in a fresh interpreter, without the interpreter's own start."""
    command = [sys.executable, "-c", _IMPORT]
    done = subprocess.run(  # noqa: S603  # our own module
        command, capture_output=True, text=True, cwd=ROOT, env=base_environment(), timeout=60
    )
    if done.returncode != 0:
        raise DidNotStart(f"edge.app cannot be imported: {done.stderr.strip()[-300:]}")
    return float(done.stdout)


def _loaded(upstream_port: int, requests: int, concurrency: int) -> tuple[int, Result]:
    """Resident bytes after the load, and what became of the load."""
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder,
        started(Edge(settings=FORWARDING_ALONE), upstream_port=upstream_port, folder=Path(folder)) as system,
    ):
        job = Job(
            port=system.port,
            headers=dict(system.launch.headers),
            model=system.launch.model,
            questions="fixed",
            streaming="half",
            connections=concurrency,
            warmup=0,
            requests=requests,
        )
        with generator(job, unseen) as driver:
            result = driver.run(unseen)
        return system.child.rss_bytes(), result


def bars_of(taken: Started) -> list[Bar]:
    loaded = megabytes(taken.rss_loaded)
    return [
        Bar(
            promise=f"with models, a first decision within {_MOST_DECISION_S:.1f} s of being started",
            measured=f"{taken.decision_s.median:.2f} s",
            is_met=taken.decision_s.median <= _MOST_DECISION_S,
        ),
        Bar(
            promise=f"without them, ready within {_MOST_READY_S:.1f} s of being started",
            measured=f"{taken.ready_s.median:.2f} s",
            is_met=taken.ready_s.median <= _MOST_READY_S,
        ),
        Bar(
            promise=f"at most {_MOST_RSS_MB:.0f} MB resident, without models",
            measured=f"{megabytes(taken.rss_ready):.0f} MB ready, {loaded:.0f} MB after the load",
            is_met=max(loaded, megabytes(taken.rss_ready)) <= _MOST_RSS_MB,
        ),
    ]


def render(taken: Started) -> str:
    lines = [
        "## start: the edge alone, without models unless said; median (least-most)",
        "",
        f"- with models, spawn to first decision: {taken.decision_s.show(2)} s, "
        f"{megabytes(taken.rss_deciding):.0f} MB then",
        f"- spawn to first 200 on /healthz: {taken.ready_s.show(2)} s",
        f"- import of edge.app: {taken.import_s.show(2)} s",
        f"- resident memory once ready: {megabytes(taken.rss_ready):.1f} MB",
        f"- resident memory after {taken.requests} requests: {megabytes(taken.rss_loaded):.1f} MB",
        f"- answers lost, refused, half or wrong in those: {counted(taken.faults)}",
        *described("fault", taken.described),
        "",
        "Bars:",
        *(bar.line() for bar in bars_of(taken)),
    ]
    return "\n".join(lines)
