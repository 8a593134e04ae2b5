"""`python -m bench load`."""

import argparse

from bench import load_run
from bench.reporting import Commands, Report, command, setting
from bench.workloads import WORKLOADS


def add(commands: Commands) -> None:
    usual = load_run.Plan()
    parser = command(commands, "load", "latency by route under seeded traffic, through edge and cloud", _run)
    parser.add_argument("--workload", choices=sorted(WORKLOADS), default=usual.workload)
    parser.add_argument("--arrivals", choices=("open", "closed"), default=usual.arrivals)
    parser.add_argument(
        "--rates",
        type=rates,
        default=usual.rates,
        metavar="RATE,...",
        help="tickets a second; of an open trace its speed, of a closed loop its users (default: 5)",
    )
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="a rate (default: %(default)g)")
    parser.add_argument("--seed", type=int, default=usual.seed, help="default: %(default)s")
    parser.add_argument(
        "--first-token-ms", type=float, default=usual.first_token_ms, help="default: %(default)g"
    )
    parser.add_argument("--tokens-per-s", type=float, default=usual.tokens_per_s, help="default: %(default)g")
    parser.add_argument("--edge-setting", type=setting, action="append", default=[], metavar="NAME=VALUE")


def _run(asked: argparse.Namespace) -> Report:
    plan = load_run.Plan(
        workload=asked.workload,
        arrivals=asked.arrivals,
        rates=asked.rates,
        seconds=asked.seconds,
        seed=asked.seed,
        first_token_ms=asked.first_token_ms,
        tokens_per_s=asked.tokens_per_s,
        edge_settings=dict(asked.edge_setting),
    )
    loaded = load_run.measure(plan)
    return Report(text=load_run.render(loaded), figures=loaded, is_good=load_run.is_clean(loaded))


def rates(text: str) -> tuple[float, ...]:
    found = tuple(float(part) for part in text.split(","))
    if not found or min(found) <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return found
