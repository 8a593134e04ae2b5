"""The benchmarks' command line: `python -m bench --help`."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import cache, cache_plot, overhead, overhead_report, progress, soak, start
from bench.machine import Machine, this_machine
from bench.processes import DidNotStart, end_on_signals
from edge.bundle import BundleRefused
from edge.settings import EdgeSettings

_STDOUT = Path("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What a command found: text for people, figures for programs."""

    text: str
    figures: object
    is_good: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Written:
    """The shape of the `--json` file."""

    command: str
    machine: Machine
    figures: object


def main() -> int:
    asked = _parser().parse_args()
    end_on_signals()
    machine = this_machine()
    is_quiet = asked.json == _STDOUT
    if not is_quiet:
        print(machine.line(), flush=True)
    try:
        report: Report = asked.run(asked)
    except (DidNotStart, BundleRefused, cache.FileRefused) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if is_quiet:
        print(msgspec.json.encode(report.figures).decode())
        return 0 if report.is_good else 1
    print(f"\n{report.text}")
    if asked.json is not None:
        written = _Written(command=asked.command, machine=machine, figures=report.figures)
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    return 0 if report.is_good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures Wayside here: real processes, loopback sockets, every answer checked.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_overhead(commands)
    _add_soak(commands)
    _add_start(commands)
    _add_cache(commands)
    return parser


def _add_overhead(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    usual = overhead.Plan()
    command = _command(commands, "overhead", "what forwarding one request costs, beside the peers", _overhead)
    _add_load(command, requests=usual.requests, unit="a system and round")
    command.add_argument("--rounds", type=_positive, default=usual.rounds, help="default: %(default)s")
    command.add_argument(
        "--warmup",
        type=_positive,
        default=usual.warmup,
        help=f"requests before each window, or {usual.warmup_limit_s:g} s of them (default: %(default)s)",
    )
    command.add_argument(
        "--limit-s", type=float, default=usual.limit_s, help="longest window, seconds (default: %(default)g)"
    )
    command.add_argument(
        "--peers",
        type=_names,
        default=overhead.PEERS,
        metavar="NAME,...",
        help=f"rows beside ours, or `none` (default: {','.join(overhead.PEERS)})",
    )
    command.add_argument("--stream-peers", action="store_true", help="measure the peers' streaming too")
    command.add_argument(
        "--edge-setting",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="run the edge with this setting in place of its default; printed with the figures",
    )


def _add_soak(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _command(commands, "soak", "answers lost or cut on their way through edge and cloud", _soak)
    _add_load(command, requests=10_000, unit="all")
    command.add_argument("--seed", type=int, default=1, help="of the texts (default: %(default)s)")
    command.add_argument(
        "--limit-s", type=float, default=600.0, help="longest run, seconds (default: %(default)g)"
    )


def _add_start(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _command(commands, "start", "time to the edge's first answer, import time, memory", _start)
    _add_load(command, requests=10_000, unit="before memory is read again")
    command.add_argument("--runs", type=_positive, default=7, help="cold starts (default: %(default)s)")


def _add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = _command(commands, "cache", "what the semantic cache serves rightly and wrongly", _cache)
    command.add_argument(
        "--pairs", type=Path, nargs="+", default=[], help="files of {a, b, equivalent, category}"
    )
    command.add_argument(
        "--conversations",
        type=Path,
        nargs="+",
        default=[],
        help="files of {history_a, a, history_b, b, equivalent, category}",
    )
    command.add_argument("--threshold", type=float, help="in place of the verifier's own")
    command.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the trade-off there")


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], Report],
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=summary, description=summary)
    command.set_defaults(run=run)
    command.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        nargs="?",
        const=_STDOUT,
        help="write the figures there as well; without a FILE print them, and nothing else",
    )
    return command


def _add_load(command: argparse.ArgumentParser, *, requests: int, unit: str) -> None:
    command.add_argument(
        "--requests", type=_positive, default=requests, help=f"{unit} (default: %(default)s)"
    )
    command.add_argument(
        "--concurrency", type=_positive, default=16, help="requests in flight (default: %(default)s)"
    )


def _overhead(asked: argparse.Namespace) -> Report:
    plan = overhead.Plan(
        rounds=asked.rounds,
        requests=asked.requests,
        warmup=asked.warmup,
        concurrency=asked.concurrency,
        limit_s=asked.limit_s,
    )
    listed = overhead.entries(asked.peers, dict(asked.edge_setting), streams_peers=asked.stream_peers)
    rows = overhead.measure(plan, listed)
    text = overhead_report.render(plan, rows)
    return Report(
        text=text, figures={"plan": plan, "rows": rows}, is_good=not overhead_report.ours_failed(rows)
    )


def _soak(asked: argparse.Namespace) -> Report:
    soaked = soak.soak(
        requests=asked.requests, concurrency=asked.concurrency, seed=asked.seed, limit_s=asked.limit_s
    )
    return Report(text=soak.render(soaked), figures=soaked, is_good=soak.is_clean(soaked))


def _start(asked: argparse.Namespace) -> Report:
    taken = start.measure(runs=asked.runs, requests=asked.requests, concurrency=asked.concurrency)
    return Report(text=start.render(taken), figures=taken, is_good=not taken.faults)


def _cache(asked: argparse.Namespace) -> Report:
    files = [(path, cache.read_pairs) for path in asked.pairs]
    files += [(path, cache.read_conversations) for path in asked.conversations]
    reader = cache.Reader(EdgeSettings())
    reports = {}
    for path, read in files:
        rows = read(path)
        with progress.bar(len(rows), "pairs") as shown:
            reports[path.stem] = cache.measure(rows, reader, threshold=asked.threshold, seen=shown.reached)
    if asked.plot is not None:
        cache_plot.draw(reports, asked.plot)
    figures = {name: found.flat() for name, found in reports.items()}
    text = "\n\n".join(cache.render(name, found) for name, found in reports.items())
    return Report(
        text=text, figures=next(iter(figures.values())) if len(figures) == 1 else figures, is_good=True
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip() not in ("", "none"))
    if unknown := set(names) - set(overhead.PEERS):
        known = ", ".join(overhead.PEERS)
        raise argparse.ArgumentTypeError(f"there is no peer {sorted(unknown)[0]}; known: {known}")
    return names


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("write it as NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
