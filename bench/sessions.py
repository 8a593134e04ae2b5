"""`sessions`: what long conversations cost, what compaction survives, what keeping a turn takes."""

import argparse
import tempfile
from pathlib import Path

from bench import fire, long_talk, progress, session_writes
from bench.databases import empty_database, stores_here
from bench.reporting import CannotRun, Report
from bench.tables import Bar, table

_TALK_COLUMNS = ("turns", "limit", "raw", "sent", "share", "largest", "checkpoints", "prefix", "facts kept")
_FIRE_COLUMNS = (
    *("store", "kills", "acknowledged", "turns", "checkpoints"),
    *("lost", "doubled", "reordered", "gaps", "empty", "seconds"),
)
_MOST_SHARE, _LEAST_STABLE, _MOST_WRITE_P95_MS = 0.12, 0.95, 30.0


def run(asked: argparse.Namespace) -> Report:
    talks = [long_talk.written(asked.turns, asked.seed)]
    if asked.locomo is not None:
        talks = long_talk.from_locomo(asked.locomo, asked.turns)
        if not talks:
            raise CannotRun(f"no conversation in {asked.locomo} has {asked.turns} turns")
    counter = long_talk.counter_here()
    plan = fire.Plan(rounds=asked.rounds, writers=asked.writers, seed=asked.seed)
    burnt, writes = {}, {}
    for store in stores_here():
        with tempfile.TemporaryDirectory(prefix="wayside-bench-") as folder:
            with empty_database(store, Path(folder)) as url:
                writes[store] = session_writes.measure(url)
            if plan.rounds:
                with empty_database(store, Path(folder)) as url, progress.bar(plan.rounds, "kill") as shown:
                    shown.begin(store)
                    burnt[store] = fire.burn(url, Path(folder), plan, shown)
    talked = [long_talk.hold(talk, limit=asked.prompt_tokens, counter=counter) for talk in talks]
    bars = _bars(talked, burnt, writes)
    return Report(
        text=_text(talked, burnt, writes, bars),
        figures={"talked": talked, "burnt": burnt, "writes": writes},
        is_good=all(one.is_clean for one in burnt.values()) and not any(one.over_budget for one in talked),
    )


def _bars(
    talked: list[long_talk.Talked],
    burnt: dict[str, fire.Burnt],
    writes: dict[str, session_writes.Writes],
) -> list[Bar]:
    share = sum(one.sent_tokens for one in talked) / sum(one.raw_tokens for one in talked)
    stable = sum(one.stable_pairs for one in talked) / max(1, sum(one.pairs for one in talked))
    over = sum(one.over_budget for one in talked)
    bars = [
        Bar(
            promise=f"prompts at most {_MOST_SHARE:.0%} of sending the log",
            measured=f"{share:.1%}",
            is_met=share <= _MOST_SHARE,
        ),
        Bar(promise="budget never exceeded", measured=f"{over} prompts over it", is_met=over == 0),
        Bar(
            promise=f"prefix at least {_LEAST_STABLE:.0%} stable between checkpoints",
            measured=f"{stable:.1%} of prompts go on from the one before",
            is_met=stable >= _LEAST_STABLE,
        ),
    ]
    bars += [
        Bar(
            promise=f"{store} under fire: 0 lost, doubled, reordered, empty",
            measured=f"{one.lost}, {one.duplicated}, {one.reordered + one.gaps}, {one.empty_checkpoints} "
            f"of {one.acknowledged} exchanges and {one.checkpoints} checkpoints in {one.rounds} kills",
            is_met=one.is_clean,
        )
        for store, one in burnt.items()
    ]
    bars += [
        Bar(
            promise=f"{store} write p95 at most {_MOST_WRITE_P95_MS:.0f} ms",
            measured=f"{one.p95_ms:.1f} ms, one at a time; {one.busy_p95_ms:.1f} ms, {one.at_once} at once; "
            f"a window is read in {one.read_p95_ms:.1f} ms",
            is_met=one.p95_ms <= _MOST_WRITE_P95_MS,
        )
        for store, one in writes.items()
    ]
    return bars


def _text(
    talked: list[long_talk.Talked],
    burnt: dict[str, fire.Burnt],
    writes: dict[str, session_writes.Writes],
    bars: list[Bar],
) -> str:
    rows = [
        [
            str(one.turns),
            str(one.limit),
            f"{one.raw_tokens:,}",
            f"{one.sent_tokens:,}",
            f"{one.share:.1%}",
            str(one.largest_prompt),
            str(one.checkpoints),
            f"{one.stable_share:.1%}",
            f"{one.planted_kept}/{one.planted}",
            f"{one.turn_p95_ms:.1f}",
        ]
        for one in talked
    ]
    header = [
        *["turns", "limit", "raw", "sent", "share", "largest", "checkpoints", "prefix"],
        "facts kept",
        "turn p95 ms",
    ]
    parts = [f"## sessions: conversations, counted by {talked[0].counter}", "", table(header, rows)]
    if burnt:
        header = [
            "store",
            "kills",
            "acknowledged",
            "turns",
            "checkpoints",
            "lost",
            "doubled",
            "reordered",
            "gaps",
            "empty",
            "seconds",
        ]
        parts += [
            "",
            "## compaction under fire",
            "",
            table(header, list(map(_fire_row, burnt, burnt.values()))),
        ]
    return "\n".join([*parts, "", "Bars:", *(bar.line() for bar in bars)])


def _fire_row(store: str, one: fire.Burnt) -> list[str]:
    happened = (one.rounds, one.acknowledged, one.turns, one.checkpoints)
    faults = (one.lost, one.duplicated, one.reordered, one.gaps, one.empty_checkpoints)
    return [store, *(str(count) for count in (*happened, *faults)), f"{one.seconds:.0f}"]
