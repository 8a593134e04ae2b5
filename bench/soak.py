"""`soak`: are answers lost or cut on their way through edge and cloud? Every one is checked."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.driving import ROOT, generator
from bench.figures import percentile
from bench.load import Job, Result
from bench.processes import base_environment, free_port, running
from bench.progress import bar, unseen
from bench.questions import questions
from bench.start import until_healthy
from bench.systems import Edge, Running, add_key, started
from bench.tables import counted, described

_MODEL = "scripted"
_PROBE_SEED = -1
_PROVIDERS = """\
[providers.script]
kind = "scripted"
reply = "You said: {text}"

[[models]]
name = "scripted"
provider = "script"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Soaked:
    """What became of the requests, and how long they took."""

    asked: int
    connections: int
    result: Result


def soak(*, requests: int, concurrency: int, seed: int, limit_s: float) -> Soaked:
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder, _stack(Path(folder)) as system:
        job = Job(
            port=system.port,
            headers=dict(system.launch.headers),
            model=_MODEL,
            questions="unique",
            streaming="half",
            connections=concurrency,
            warmup=0,
            requests=requests,
            seed=seed,
            limit_s=limit_s,
        )
        with bar(requests, "req") as shown, generator(job, unseen) as driver:
            shown.begin("edge and cloud")
            return Soaked(asked=requests, connections=concurrency, result=driver.run(shown.reached))


@contextmanager
def _stack(folder: Path) -> Iterator[Running]:
    """An edge in front of a cloud in front of the script, each as its own command starts it."""
    cloud_folder, edge_folder = folder / "cloud", folder / "edge"
    for made in (cloud_folder, edge_folder):
        made.mkdir()
    providers = folder / "providers.toml"
    providers.write_text(_PROVIDERS, "utf-8")
    key = add_key("cloud", cloud_folder, tenant="edge", role="edge")
    port = free_port()
    edge = Edge(upstream_key=key)
    where = ("--port", str(port), "--data-dir", str(cloud_folder), "--providers-file", str(providers))
    command = (sys.executable, "-m", "cloud", *where)
    with running(command, log=folder / "cloud.log", environment=base_environment(), folder=ROOT) as cloud:
        until_healthy(cloud, port)
        probe = next(questions("unique", model=_MODEL, streaming="never", seed=_PROBE_SEED))
        with started(edge, upstream_port=port, folder=edge_folder, probe=probe) as system:
            yield system


def render(soaked: Soaked) -> str:
    result = soaked.result
    unsent = soaked.asked - result.sent
    good = result.sent - sum(result.faults.values())
    p50_ms, p99_ms = (percentile(result.latencies_us, share) / 1000 for share in (0.50, 0.99))
    lines = [
        f"## soak: {soaked.asked} requests through edge and cloud, {soaked.connections} in flight, "
        "half of them streamed, every answer checked word by word",
        "",
        f"- whole and right: {good}",
        f"- lost, refused, half or wrong: {counted(result.faults)}",
        f"- not sent before the time limit: {unsent}",
        f"- {result.sent / result.seconds:,.0f} requests/s, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms "
        "(both services share the machine with the generator)",
        *described("fault", result.described),
    ]
    return "\n".join(lines)


def is_clean(soaked: Soaked) -> bool:
    """Every request was sent, and every answer was whole and right."""
    return soaked.result.sent == soaked.asked and not soaked.result.faults
