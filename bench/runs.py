"""`runs`: what kill -9 does to durable runs, on both databases."""

import argparse
import tempfile
from pathlib import Path

from bench import progress
from bench.databases import empty_database, stores_here
from bench.reporting import Report
from bench.run_faults import Crowd, Killed, cloud, kill_a_worker, kill_everywhere
from bench.run_world import World, served
from bench.tables import Bar, table

_MOST_RESUME_S = 2.0
_MOST_PLAIN_MS = 3.0
_WARM_UP, _PLAIN_ANSWERS = 100, 500


def run(asked: argparse.Namespace) -> Report:
    killed: list[Killed] = []
    crowd: Crowd | None = None
    stores = stores_here()
    rounds = len(stores) * (2 * asked.payments + 2)
    with tempfile.TemporaryDirectory(prefix="wayside-bench-") as root:
        with progress.bar(rounds, "start") as shown:
            for store in stores:
                folder = Path(root) / store
                folder.mkdir()
                world = World(payments=asked.payments, pause_s=0.1)
                shown.begin(store)
                with empty_database(store, folder) as url, served(world):
                    killed.append(kill_everywhere(folder / "cloud", url, store, world, shown))
        if asked.runs and "postgresql" in stores:
            folder = Path(root) / "crowd"
            folder.mkdir()
            world = World(payments=1, pause_s=0.05)
            with (
                empty_database("postgresql", folder) as url,
                served(world),
                progress.bar(asked.runs, "run") as shown,
            ):
                crowd = kill_a_worker(folder, url, world, runs=asked.runs, shown=shown)
        folder = Path(root) / "plain"
        world = World(payments=0, pause_s=0)
        with cloud(folder, f"sqlite:///{folder / 'cloud.db'}", world) as service:
            service.plainly_ms(_WARM_UP)
            plain_ms = service.plainly_ms(_PLAIN_ANSWERS)
    bars = _bars(killed, crowd)
    bars.append(
        Bar(
            promise=f"a plain answer of a script takes at most {_MOST_PLAIN_MS:g} ms through the cloud",
            measured=f"{plain_ms:.2f} ms (median of {_PLAIN_ANSWERS}, the client included)",
            is_met=plain_ms <= _MOST_PLAIN_MS,
        )
    )
    return Report(
        text=_text(killed, crowd, bars),
        figures={"killed": killed, "crowd": crowd, "plain_ms": plain_ms},
        is_good=all(bar.is_met for bar in bars),
    )


def _bars(killed: list[Killed], crowd: Crowd | None) -> list[Bar]:
    finished = sum(one.finished for one in killed)
    slowest = max((second for one in killed for second in one.resume_s), default=0.0)
    bars = [
        Bar(
            promise="every killed run finishes",
            measured=f"{finished} of {len(killed)}, after {sum(one.kills for one in killed)} kills",
            is_met=finished == len(killed),
        ),
        Bar(
            promise="each side effect exactly once",
            measured=", ".join(f"{one.effects} of {one.payments}" for one in killed),
            is_met=all(one.effects == one.payments for one in killed),
        ),
        Bar(
            promise=f"goes on within {_MOST_RESUME_S:g} s of the restart",
            measured=f"{slowest:.2f} s at most",
            is_met=slowest <= _MOST_RESUME_S,
        ),
    ]
    if crowd is not None:
        bars.append(
            Bar(
                promise="a killed worker's runs finish elsewhere, none twice",
                measured=f"{crowd.finished} of {crowd.runs} finished, {crowd.twice} twice",
                is_met=crowd.finished == crowd.runs == crowd.effects and crowd.twice == 0,
            )
        )
    return bars


def _text(killed: list[Killed], crowd: Crowd | None, bars: list[Bar]) -> str:
    rows = [
        [
            one.store,
            str(one.kills),
            "yes" if one.finished else "no",
            f"{one.effects} of {one.payments}",
            str(one.repeated_calls),
            f"{max(one.resume_s, default=0):.2f}",
        ]
        for one in killed
    ]
    columns = ("store", "kills", "finished", "effects", "repeated calls", "slowest resume, s")
    text = "One run, killed at each arrival at its model and its tool\n\n" + table(columns, rows)
    if crowd is not None:
        text += (
            f"\n\n{crowd.runs} runs on 2 API and 2 worker processes, one worker killed: {crowd.finished} "
            f"finished, {crowd.effects} effects, {crowd.twice} twice, in {crowd.seconds:.0f} s"
        )
    return "\n".join([text, "", "Bars:", *(bar.line() for bar in bars)])
