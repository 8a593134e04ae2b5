"""Runs under kill -9: one killed at each of its moments, and many while one of their workers dies."""

import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.driving import ROOT
from bench.processes import Child, base_environment, free_port, running
from bench.progress import Bar
from bench.run_world import Moment, World, unwatched
from bench.start import until_healthy
from bench.systems import add_key

_PATIENCE_S = 60.0
_TENANT = "acme"


@dataclass(frozen=True, kw_only=True, slots=True)
class Killed:
    """One run that was killed at every moment of it."""

    store: str
    kills: int
    finished: bool
    effects: int
    """Payments that took effect; `payments` were asked for."""
    payments: int
    repeated_calls: int
    """The tool was asked again, under the same key, and did nothing."""
    resume_s: tuple[float, ...]
    """From the restarted process being ready to the run's next step, or its end, seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Crowd:
    """Many runs on several processes, one of which was killed."""

    runs: int
    finished: int
    effects: int
    twice: int
    """Runs paid for more than once."""
    seconds: float


class Service:
    """One cloud process, and how to ask it."""

    def __init__(self, child: Child, port: int, key: str) -> None:
        self.child = child
        self.url = f"http://127.0.0.1:{port}"
        self.headers = {
            "authorization": f"Bearer {key}",
            "wayside-tenant": _TENANT,
            "wayside-agent": "analysis",
        }
        self._client = httpx.Client(base_url=self.url, headers=self.headers, trust_env=False, timeout=30)

    def begin(self, name: str) -> str:
        """A background run; its id."""
        body = {"model": "m", "messages": [{"role": "user", "content": name}]}
        answer = self._client.post("/v1/chat/completions", json=body, headers={"prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def only_run(self) -> str:
        """The id of the one run there is."""
        (run,) = self._client.get("/v1/runs").raise_for_status().json()["data"]
        return str(run["id"])

    def plainly_ms(self, times: int) -> float:
        """Milliseconds that a plain answer of a script takes through the cloud, the median of `times`."""
        body = {"model": "script", "messages": [{"role": "user", "content": "Is it?"}]}
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            self._client.post(
                "/v1/chat/completions", json=body, headers={"wayside-agent": "chat"}
            ).raise_for_status()
            taken.append((time.perf_counter() - began) * 1000)
        return statistics.median(taken)

    def status(self, run: str) -> str:
        return str(self._client.get(f"/v1/runs/{run}").raise_for_status().json()["status"])

    def close(self) -> None:
        self._client.close()

    def has_ended(self) -> bool:
        return self.child.has_ended

    def kill(self) -> None:
        os.killpg(self.child.pid, signal.SIGKILL)


@contextmanager
def cloud(
    folder: Path, url: str, world: World, *, role: str = "all", settings: Sequence[str] = ()
) -> Iterator[Service]:
    """A cloud process, for the time of the block. `folder` may be one that a killed process left."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "providers.toml").write_text(world.providers(), "utf-8")
    (folder / "tools.toml").write_text(world.tools(), "utf-8")
    keys = folder / "key"
    if not keys.exists():
        keys.write_text(add_key("cloud", folder, tenant="edge", role="edge"), "utf-8")
    port = free_port()
    command = (
        *(sys.executable, "-m", "cloud", "--port", str(port), "--data-dir", str(folder)),
        *("--providers-file", str(folder / "providers.toml"), "--tools-file", str(folder / "tools.toml")),
        *("--process-role", role),
        *settings,
    )
    environment = {**base_environment(), "WAYSIDE_CLOUD_DATABASE_URL": url}
    with running(
        command, log=folder / f"cloud-{time.monotonic_ns()}.log", environment=environment, folder=ROOT
    ) as child:
        until_healthy(child, port)
        service = Service(child, port, keys.read_text("utf-8"))
        try:
            yield service
        finally:
            service.close()


def kill_everywhere(folder: Path, url: str, store: str, world: World, shown: Bar) -> Killed:
    """One run of `world.payments` payments; its process is killed at each arrival at model and tool."""
    moments: Sequence[tuple[Moment, int]] = [
        (moment, number) for number in range(world.payments) for moment in ("model", "effect")
    ] + [("model", world.payments)]
    resumed: list[float] = []
    run = ""
    for place, (moment, _) in enumerate([*moments, ("model", -1)]):
        is_last = place == len(moments)
        with cloud(folder, url, world) as service:
            ready, before = time.monotonic(), world.moments
            if not is_last:
                _kill_at(world, service, moment)
            if place == 0:
                # The kill may come before the answer does: the run is there all the same.
                with suppress(httpx.RemoteProtocolError, httpx.ReadError):
                    service.begin("the run")
            else:
                run = run or service.only_run()
                _until(partial(world.has_passed, before), "the run went on")
                resumed.append(time.monotonic() - ready)
            if is_last:
                finished = _finishes(service, run)
            else:
                _until(service.has_ended, "it was killed")
        shown.end(1)
    return Killed(
        store=store,
        kills=len(moments),
        finished=finished,
        effects=len(world.paid),
        payments=world.payments,
        repeated_calls=sum(world.calls.values()) - len(world.calls),
        resume_s=tuple(resumed),
    )


def kill_a_worker(folder: Path, url: str, world: World, *, runs: int, shown: Bar) -> Crowd:
    """Two processes that take runs, two that do them; one of these dies when a third of them is paid."""
    began = time.monotonic()
    with ExitStack() as stack:
        apis, workers = (
            [stack.enter_context(cloud(folder / f"{role}{n}", url, world, role=role)) for n in range(2)]
            for role in ("api", "worker")
        )
        ids = [apis[number % 2].begin(f"run {number}") for number in range(runs)]
        _until(lambda: len(world.paid) >= runs // 3, "a third was paid")
        workers[0].kill()
        waiting, ended = set(ids), set()
        give_up = time.monotonic() + _PATIENCE_S + runs
        while waiting and time.monotonic() < give_up:
            for run in sorted(waiting):
                status = apis[0].status(run)
                if status in ("completed", "failed", "cancelled"):
                    waiting.discard(run)
                    shown.end(1)
                    if status == "completed":
                        ended.add(run)
            time.sleep(0.2)
    return Crowd(
        runs=runs,
        finished=len(ended),
        effects=len(world.paid),
        twice=len(world.paid) - len(set(world.paid.values())),
        seconds=time.monotonic() - began,
    )


def _kill_at(world: World, service: Service, moment: Moment) -> None:
    def on(came: Moment) -> None:
        if came == moment:
            world.on = unwatched
            service.kill()

    world.on = on


def _finishes(service: Service, run: str) -> bool:
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up:
        status = service.status(run)
        if status in ("completed", "failed", "cancelled"):
            return status == "completed"
        time.sleep(0.05)
    return False


def _until(is_so: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited in vain until {what}")
        time.sleep(0.005)
