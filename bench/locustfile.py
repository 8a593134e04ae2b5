"""The load as Locust knows it: `locust -f bench/locustfile.py`, with its web page or headless.

`--arrivals open` (the default) sends tickets when they are due, whether or not earlier ones are answered, and
measures each from when it was due: a service that stalls gets the queue it would have (no coordinated
omission). One user is the source of all of them. `--arrivals closed` has as many users as Locust is told,
each with one ticket at a time.
"""

import argparse
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import gevent
import msgspec
from gevent.pool import Group
from locust import User, constant, events, task
from locust.env import Environment

from bench.locust_play import Player
from bench.samples import Samples
from bench.workload import Ticket
from bench.workloads import WORKLOADS

KEY_VARIABLE = "WAYSIDE_API_KEY"
_LAST_ANSWERS_S = 30.0


@events.init_command_line_parser.add_listener
def _options(parser: Any) -> None:
    group: argparse._ArgumentGroup = parser.add_argument_group("Wayside", f"the key: ${KEY_VARIABLE}")
    group.add_argument("--port", type=int, default=8080, help="of the edge")
    group.add_argument("--model", default="auto")
    group.add_argument("--workload", choices=sorted(WORKLOADS), default="support")
    group.add_argument("--arrivals", choices=("open", "closed"), default="open")
    group.add_argument("--rate", type=float, default=5.0, help="tickets a second; of a trace, its speed")
    group.add_argument("--seed", type=int, default=1)
    group.add_argument("--results", type=Path, default=None, help="write every request there, JSON")


class Traffic(User):
    """Where the tickets come from: all of them if the loop is open, one at a time if it is closed."""

    wait_time = constant(0)

    @task
    def go(self) -> None:
        run: Run = self.environment.run  # put there at the start
        if run.is_open:
            run.send_all()
        else:
            run.player.play(next(run.tickets), time.monotonic())


class Run:
    """One test, from Locust's start to its stop."""

    def __init__(self, environment: Environment) -> None:
        asked = environment.parsed_options
        assert asked is not None
        workload = WORKLOADS[asked.workload]
        self.asked = asked
        self.is_open = asked.arrivals == "open"
        self.tickets: Iterator[Ticket] = workload.tickets(asked.seed)
        self.started = time.monotonic()
        self.player = Player(
            environment,
            port=asked.port,
            key=os.environ.get(KEY_VARIABLE, ""),
            model=asked.model,
            started=self.started,
        )
        self._arrivals = workload.arrivals(asked.rate, asked.seed)
        self._sources = count()
        self._playing = Group()

    def send_all(self) -> None:
        """The source: a ticket whenever one is due, until Locust stops it."""
        if next(self._sources):
            gevent.sleep(3600.0)  # a second user has nothing to do: the rate is the source's
            return
        for at in self._arrivals:
            due = self.started + at
            gevent.sleep(max(0.0, due - time.monotonic()))
            self._playing.add(gevent.spawn(self.player.play, next(self.tickets), due))

    def end(self) -> Samples:
        """Wait for the answers under way, and tell what was found."""
        seconds = time.monotonic() - self.started
        self._playing.join(timeout=_LAST_ANSWERS_S)
        unsent = self.player.open
        self._playing.kill()
        return Samples(
            workload=self.asked.workload,
            arrivals=self.asked.arrivals,
            rate=self.asked.rate if self.is_open else float(self.asked.num_users or 1),
            seed=self.asked.seed,
            seconds=seconds,
            samples=self.player.samples,
            unsent=unsent,
        )


@events.test_start.add_listener
def _start(environment: Environment, **_: object) -> None:
    environment.run = Run(environment)  # type: ignore[attr-defined]  # Locust's own place for a test's state


@events.test_stop.add_listener
def _stop(environment: Environment, **_: object) -> None:
    run: Run = environment.run  # type: ignore[attr-defined]  # put there at the start
    found = run.end()
    if run.asked.results is not None:
        run.asked.results.write_bytes(msgspec.json.encode(found))
