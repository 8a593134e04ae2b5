"""`python -m bench overhead`."""

import argparse

from bench import overhead, overhead_report, overhead_rows
from bench.reporting import Commands, Report, add_load, command, positive, setting


def add(commands: Commands) -> None:
    usual = overhead.Plan()
    parser = command(commands, "overhead", "what one request costs, beside the peers", _run)
    add_load(parser, requests=usual.requests, unit="a system and round")
    parser.add_argument("--rounds", type=positive, default=usual.rounds, help="default: %(default)s")
    parser.add_argument(
        "--warmup",
        type=positive,
        default=usual.warmup,
        help=f"requests before each window, or {usual.warmup_limit_s:g} s of them (default: %(default)s)",
    )
    parser.add_argument(
        "--limit-s", type=float, default=usual.limit_s, help="longest window, seconds (default: %(default)g)"
    )
    parser.add_argument(
        "--peers",
        type=_names,
        default=overhead_rows.PEERS,
        metavar="NAME,...",
        help=f"rows beside ours, or `none` (default: {','.join(overhead_rows.PEERS)})",
    )
    parser.add_argument("--stream-peers", action="store_true", help="measure the peers' streaming too")
    parser.add_argument(
        "--semantic-entries",
        type=_counts,
        default=(1_000, 10_000, 100_000),
        metavar="COUNT,...",
        help="rows of a semantic hit among so many, or `none` (default: 1000,10000,100000)",
    )
    parser.add_argument(
        "--edge-setting",
        type=setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="run the edge with this setting in place of its default; printed with the figures",
    )


def _run(asked: argparse.Namespace) -> Report:
    plan = overhead.Plan(
        rounds=asked.rounds,
        requests=asked.requests,
        warmup=asked.warmup,
        concurrency=asked.concurrency,
        limit_s=asked.limit_s,
    )
    listed = overhead_rows.entries(
        asked.peers,
        dict(asked.edge_setting),
        streams_peers=asked.stream_peers,
        semantic_entries=asked.semantic_entries,
    )
    rows = overhead.measure(plan, listed)
    text = overhead_report.render(plan, rows)
    return Report(
        text=text, figures={"plan": plan, "rows": rows}, is_good=not overhead_report.ours_failed(rows)
    )


def _counts(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(",") if part.strip() not in ("", "none"))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    if unknown := set(names) - set(overhead_rows.PEERS):
        known = ", ".join(overhead_rows.PEERS)
        raise argparse.ArgumentTypeError(f"there is no peer {sorted(unknown)[0]}; known: {known}")
    return names
