"""`cost`: what a ticket costs with one strong model, with a cheap one, and with Wayside in front."""

import threading
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from bench.cost_replay import Asked, opened, replay
from bench.figures import Interval, interval, percentile
from bench.progress import bar
from bench.tables import Bar, counted, table
from bench.workload import Ticket
from bench.workloads import WORKLOADS

_PRICES = Path(__file__).resolve().parent / "prices.toml"
_LEAST_SAVING = 0.60
_MOST_WRONG = 0.01
_DETAILS = 5
STRONG, CHEAP, WAYSIDE, TIERED = "strong", "cheap", "wayside", "tiered"
ARMS = (STRONG, CHEAP, WAYSIDE, TIERED)
_ROUTES = Path(__file__).resolve().parent / "cost_routes.toml"
_ARM_NAMES = {
    STRONG: "(a) one strong model, full history",
    CHEAP: "(b) a cheap model for all",
    WAYSIDE: "(c) Wayside, the strong model behind it",
    TIERED: "(d) Wayside, simple questions to the cheap one",
}
_NOTES = (
    "Tokens are the script's: a word is one. Latency is what edge and cloud took, measured, and the model's "
    "time at its assumed pace. The script's answers are as long whoever is asked: whether the cheap model's "
    "are good enough it cannot know. Counted as wrong is an answer of the edge made for another question."
)


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a model, and its pace."""

    input_usd: float
    """Per million tokens."""
    output_usd: float
    first_token_ms: float
    tokens_per_s: float

    def usd(self, *, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input_usd + output_tokens * self.output_usd) / 1e6

    def model_ms(self, output_tokens: int) -> float:
        return self.first_token_ms + output_tokens / self.tokens_per_s * 1000


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    source: str
    strong: Price
    cheap: Price

    def of(self, model: str) -> Price:
        """Of the model that answered; whoever is not the cheap one is the strong one."""
        return self.cheap if model == CHEAP else self.strong


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmRun:
    """One arm on one seed's tickets."""

    arm: str
    seed: int
    tickets: int
    requests: int
    input_tokens: int
    output_tokens: int
    usd_per_ticket: float
    at_edge: int
    """Requests that were answered from a cache or from knowledge."""
    wrong: int
    """Of those, with an answer made for a question of another meaning."""
    by_model: dict[str, int]
    """Requests that a model answered."""
    p50_ms: float
    p95_ms: float
    faults: dict[str, int]
    details: list[str]
    """The commonest faults in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    workload: str
    tickets: int
    seeds: tuple[int, ...]
    prices: Prices
    runs: list[ArmRun]

    def of(self, arm: str) -> list[ArmRun]:
        return [run for run in self.runs if run.arm == arm]

    def saving(self, arm: str) -> Interval:
        """Share of the strong arm's cost that is saved, seed by seed."""
        pairs = zip(self.of(STRONG), self.of(arm), strict=True)
        shares = [
            1 - other.usd_per_ticket / strong.usd_per_ticket if strong.usd_per_ticket else 0.0
            for strong, other in pairs
        ]
        return interval(shares)

    def wrong_share(self, arm: str) -> float:
        """Of what the edge answered."""
        runs = self.of(arm)
        answered = sum(run.at_edge for run in runs)
        return sum(run.wrong for run in runs) / answered if answered else 0.0


def prices() -> Prices:
    return msgspec.convert(tomllib.loads(_PRICES.read_text("utf-8")), Prices)


def measure(name: str, *, tickets: int, seeds: Sequence[int]) -> Costs:
    """Every arm on the same tickets; each seed has services of its own, just started."""
    workload, table_of_prices = WORKLOADS[name], prices()
    runs = []
    with bar(len(seeds) * len(ARMS) * tickets, "ticket") as shown:
        for seed in seeds:
            drawn = list(islice(workload.tickets(seed), tickets))
            for arms, routes in (((STRONG, CHEAP, WAYSIDE), None), ((TIERED,), _ROUTES)):
                with opened(workload, routes) as services:
                    for arm in arms:
                        shown.begin(f"{name} {arm}, seed {seed}")
                        asked = replay(
                            services,
                            drawn,
                            arm=arm if arm in (STRONG, CHEAP) else None,
                            done=_counting(shown.reached),
                            # What has a session is not kept by the edge's caches: for long talks alone.
                            keeps_session=name == "heavy",
                        )
                        shown.end(tickets)
                        runs.append(priced(arm, seed, drawn, asked, table_of_prices))
    return Costs(workload=name, tickets=tickets, seeds=tuple(seeds), prices=table_of_prices, runs=runs)


def _counting(reached: Callable[[int], object]) -> Callable[[], None]:
    lock, done = threading.Lock(), 0

    def one_more() -> None:
        nonlocal done
        with lock:
            done += 1
            reached(done)

    return one_more


def priced(
    arm: str, seed: int, tickets: Sequence[Ticket], asked: Sequence[Asked], table_of_prices: Prices
) -> ArmRun:
    """What the requests of one arm came to. What the edge answered costs no tokens and no model's time."""
    paid = [one for one in asked if one.route == "forward" and one.fault is None]
    usd = sum(
        table_of_prices.of(one.model).usd(input_tokens=one.input_tokens, output_tokens=one.output_tokens)
        for one in paid
    )
    times = [
        one.measured_ms
        + (table_of_prices.of(one.model).model_ms(one.output_tokens) if one.route == "forward" else 0.0)
        for one in asked
        if one.fault in (None, "wrong")
    ]
    at_edge = [one for one in asked if one.route in ("exact", "semantic", "local")]
    return ArmRun(
        arm=arm,
        seed=seed,
        tickets=len(tickets),
        requests=len(asked),
        input_tokens=sum(one.input_tokens for one in paid),
        output_tokens=sum(one.output_tokens for one in paid),
        usd_per_ticket=usd / len(tickets),
        at_edge=len(at_edge),
        wrong=sum(one.fault == "wrong" for one in at_edge),
        by_model=dict(Counter(one.model for one in paid)),
        p50_ms=percentile(times, 0.50) if times else 0.0,
        p95_ms=percentile(times, 0.95) if times else 0.0,
        faults=dict(Counter(one.fault for one in asked if one.fault not in (None, "wrong"))),
        details=[
            f"{arm}, seed {seed}: {count} x {detail[:160]}"
            for detail, count in Counter(one.detail for one in asked if one.fault).most_common(_DETAILS)
        ],
    )


def bars_of(costs: Costs) -> list[Bar]:
    bars = []
    for arm in (WAYSIDE, TIERED):
        saving, wrong = costs.saving(arm), costs.wrong_share(arm)
        what = f"{costs.workload} {_ARM_NAMES[arm][:3]}"
        bars += [
            Bar(
                promise=f"{what}: at least {_LEAST_SAVING:.0%} cheaper a ticket than one strong model",
                measured=saving.show_share(),
                is_met=saving.mean >= _LEAST_SAVING,
            ),
            Bar(
                promise=f"{what}: at most {_MOST_WRONG:.0%} of the edge's answers are wrong",
                measured=f"{wrong:.2%}",
                is_met=wrong <= _MOST_WRONG,
            ),
        ]
    return bars


def is_clean(costs: Costs) -> bool:
    return not any(run.faults for run in costs.runs)


_HEADER = (
    "arm",
    "USD per 1,000 tickets",
    "cheaper than (a)",
    "input tokens a ticket",
    "output tokens a ticket",
    "answered at the edge",
    "wrong of those",
    "models",
    "p50 ms",
    "p95 ms",
    "failed",
)


def render(costs: Costs) -> str:
    return "\n\n".join(
        [
            f"## cost: {costs.workload}, {costs.tickets} tickets, seeds {', '.join(map(str, costs.seeds))}; "
            "mean and 95 % interval over the seeds",
            table(_HEADER, [_cells(costs, arm) for arm in ARMS]),
            f"Prices: {costs.prices.source}. {_NOTES}",
            *(["\n".join(f"- {line}" for line in details)] if (details := _details(costs)) else []),
            "\n".join(["Bars:", *(one.line() for one in bars_of(costs))]),
        ]
    )


def _details(costs: Costs) -> list[str]:
    return [line for run in costs.runs for line in run.details]


def _cells(costs: Costs, arm: str) -> tuple[str, ...]:
    runs = costs.of(arm)
    requests = sum(run.requests for run in runs)
    models: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for run in runs:
        models.update(run.by_model)
        faults.update(run.faults)
    tickets = sum(run.tickets for run in runs)
    return (
        _ARM_NAMES[arm],
        interval([1000 * run.usd_per_ticket for run in runs]).show(3),
        "" if arm == STRONG else costs.saving(arm).show_share(),
        f"{sum(run.input_tokens for run in runs) / tickets:,.0f}",
        f"{sum(run.output_tokens for run in runs) / tickets:,.0f}",
        f"{sum(run.at_edge for run in runs) / requests:.1%}",
        f"{costs.wrong_share(arm):.2%}",
        ", ".join(f"{model} {count}" for model, count in sorted(models.items())),
        interval([run.p50_ms for run in runs]).show(0),
        interval([run.p95_ms for run in runs]).show(0),
        counted(faults),
    )
