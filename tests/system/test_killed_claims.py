"""A key whose process is killed, or stopped, in the middle of an answer, and the client that comes back."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from bench.run_faults import Service, cloud
from bench.run_world import Moment, World, served, unwatched
from tests.support.databases import new_postgresql_database
from tests.support.stack import ask

KEY = {"idempotency-key": "once"}
PLAIN = {"wayside-agent": "chat"}
QUESTION = ask("the run", model="m")


def asked(service: Service, agent: dict[str, str], timeout_s: float = 60) -> httpx.Response:
    return httpx.post(
        f"{service.url}/v1/chat/completions",
        json=QUESTION,
        headers={**service.headers, **agent, **KEY},
        trust_env=False,
        timeout=timeout_s,
    )


def signalled(world: World, service: Service, signal_: signal.Signals) -> None:
    """At its next call of the model the service's processes get the signal."""

    def on(came: Moment) -> None:
        if came == "model":
            world.on = unwatched
            os.killpg(service.child.pid, signal_)

    world.on = on


@contextmanager
def two_machines(folder: Path, server: str, world: World) -> Iterator[tuple[Service, Service]]:
    """Two clouds on one database that share no folder; a claim of theirs lapses after 1.5 s."""
    url = new_postgresql_database(server)
    short = ("--idempotency-lease-s", "1.5")
    with (
        served(world),
        cloud(folder / "one", url, world, settings=short) as one,
        cloud(folder / "other", url, world, settings=short) as other,
    ):
        yield one, other


@pytest.mark.parametrize("agent", [PLAIN, {}], ids=["plain", "run"])
def test_the_key_of_a_killed_process_is_answered_when_it_is_back(
    tmp_path: Path, database_url: str, agent: dict[str, str]
) -> None:
    world = World(payments=1, pause_s=0.2)
    with served(world):
        with cloud(tmp_path / "c", database_url, world) as service:
            signalled(world, service, signal.SIGKILL)
            with pytest.raises(httpx.HTTPError):
                asked(service, agent)
        with cloud(tmp_path / "c", database_url, world) as service:
            began = time.monotonic()
            answer = asked(service, agent)
            assert answer.status_code == 200
            # A claim that had to lapse would take its term, 10 s.
            assert time.monotonic() - began < 8
            again = asked(service, agent)
            assert again.json() == answer.json()
            assert again.headers["idempotency-replayed"] == "true"
            assert len(world.paid) == (0 if agent else 1)


def test_a_key_is_taken_over_from_a_machine_that_is_gone_and_never_made_by_two(
    tmp_path: Path, postgresql_server: str
) -> None:
    world = World(payments=0, pause_s=4.0)
    with two_machines(tmp_path, postgresql_server, world) as (one, other), ThreadPoolExecutor() as threads:
        signalled(world, one, signal.SIGSTOP)
        first: Future[httpx.Response] = threads.submit(asked, one, PLAIN)
        deadline = time.monotonic() + 10
        while world.moments == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        second = threads.submit(asked, other, PLAIN)
        while world.moments == 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert world.moments == 2  # the other one makes it now
        os.killpg(one.child.pid, signal.SIGCONT)
        assert first.result().status_code == 503
        assert second.result().status_code == 200
        assert "idempotency-replayed" not in second.result().headers
        assert asked(one, PLAIN).json() == second.result().json()
        assert world.moments == 2


def test_repetitions_at_two_living_processes_are_made_once_however_long_it_takes(
    tmp_path: Path, postgresql_server: str
) -> None:
    world = World(payments=0, pause_s=4.0)
    with two_machines(tmp_path, postgresql_server, world) as (one, other), ThreadPoolExecutor() as threads:
        answers = list(threads.map(asked, 3 * [one, other], 6 * [PLAIN]))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text for answer in answers}) == 1
        assert world.moments == 1
