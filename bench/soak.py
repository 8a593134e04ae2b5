"""`soak`: are answers lost or cut on their way through edge and cloud? Every one is checked."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.driving import generator
from bench.figures import percentile
from bench.load import Job, Result
from bench.progress import bar, unseen
from bench.stack import Script, stack
from bench.tables import counted, described

_MODEL = "scripted"
_SCRIPT = Script(reply="You said: {text}", models=(_MODEL,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Soaked:
    """What became of the requests, and how long they took."""

    asked: int
    connections: int
    result: Result


def soak(*, requests: int, concurrency: int, seed: int, limit_s: float) -> Soaked:
    with (
        tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder,
        stack(Path(folder), _SCRIPT) as services,
    ):
        system = services.edge
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
