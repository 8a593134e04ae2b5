"""The report's charts, as SVG text: what a table does not show at a glance."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from bench.results import Result

_COLOURS = {
    "all": "#444444", "exact": "#1b9e77", "semantic": "#7570b3", "local": "#66a61e", "forward": "#d95f02",
    "ours": "#0f766e", "other": "#b8bec7", "bad": "#b42318",
}  # fmt: skip
_SALT = "wayside"
_Draw = Callable[[Any], None]


def charts_of(result: Result) -> list[tuple[str, str]]:
    """Captions and SVG; none for commands whose table says it all."""
    if result.failed:
        return []
    match result.command:
        case "overhead" | "small":
            return _overhead(result.figures["rows"])
        case "load":
            return _load(result.figures["steps"], result.figures.get("knee"))
        case "cost":
            return [_cost(cost) for cost in result.figures]
        case "endurance":
            return [_endurance(result.figures)]
        case "cache":
            return _caches(result.figures)
        case _:
            return []


def _figure(draw: _Draw, *, width: float = 6.4, height: float = 3.2) -> str:
    # Imported here: it takes half a second, and only the report draws.
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.hashsalt": _SALT,
        "svg.fonttype": "path",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e8eb",
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.add_subplot())
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None}, transparent=True)
    svg = out.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL)


def _overhead(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    taken = [(row, median([one["cpu_us"] for one in row["rounds"]])) for row in rows if row["rounds"]]
    taken.sort(key=lambda pair: -pair[1])

    def draw(axes: Any) -> None:
        values = [value for _, value in taken]
        bars = axes.barh(
            [row["name"] for row, _ in taken],
            values,
            color=[_COLOURS["ours" if row["is_ours"] else "other"] for row, _ in taken],
        )
        axes.bar_label(bars, [f" {value:,.0f}" for value in values])
        axes.set_xlabel("CPU microseconds a request (median of the rounds)")
        axes.grid(visible=False, axis="y")

    return [("What one request costs; ours in colour", _figure(draw, height=0.8 + 0.32 * len(taken)))]


def _load(steps: Sequence[Mapping[str, Any]], knee: float | None) -> list[tuple[str, str]]:
    lowest = min(steps, key=lambda step: float(step["rate"]))
    routes = [one["route"] for one in lowest["routes"] if one["route"] != "all"]
    good = [one for one in lowest["samples"] if one["fault"] is None]
    times = {
        route: sorted(max(one["last_ms"], 0.05) for one in good if one["route"] == route) for route in routes
    }

    def histogram(axes: Any) -> None:
        low = min(values[0] for values in times.values())
        high = max(values[-1] for values in times.values()) * 1.01
        edges = [low * (high / low) ** (at / 40) for at in range(41)]
        axes.hist(
            list(times.values()),
            edges,
            stacked=True,
            label=routes,
            color=[_COLOURS[route] for route in routes],
        )
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds to the last token")
        axes.set_ylabel("requests")
        axes.legend(frameon=False)

    def cumulative(axes: Any) -> None:
        for route, values in times.items():
            shares = [(at + 1) / len(values) for at in range(len(values))]
            axes.step(values, shares, where="post", label=route, color=_COLOURS[route])
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds to the last token")
        axes.set_ylabel("share of the route's requests")
        axes.legend(frameon=False)

    found = [] if not times else [
        ("Latency of each way to answer, lowest rate", _figure(histogram)),
        ("The same, cumulated", _figure(cumulative)),
    ]  # fmt: skip
    if len(steps) > 1:
        found.append(("Latency against throughput", _figure(lambda axes: _curve(axes, steps, knee))))
    return found


def _curve(axes: Any, steps: Sequence[Mapping[str, Any]], knee: float | None) -> None:
    ordered = [step for step in sorted(steps, key=lambda step: float(step["rate"])) if step["routes"]]
    rates = [step["requests_per_s"] for step in ordered]
    for share, colour in (("p50", _COLOURS["ours"]), ("p99", _COLOURS["forward"])):
        axes.plot(
            rates, [step["routes"][0]["last"][share] for step in ordered], "o-", label=share, color=colour
        )
    failing = [step for step in ordered if step["faults"]]
    axes.plot(
        [step["requests_per_s"] for step in failing],
        [step["routes"][0]["last"]["p99"] for step in failing],
        "x", color=_COLOURS["bad"], markersize=10, label="some failed",
    )  # fmt: skip
    for step in ordered:
        if step["rate"] == knee:
            axes.axvline(step["requests_per_s"], color="#888888", linestyle=":", label="knee")
    axes.set_xlabel("requests a second")
    axes.set_ylabel("milliseconds to the last token")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _cost(cost: Mapping[str, Any]) -> tuple[str, str]:
    arms = {"strong": "(a) one strong model", "cheap": "(b) a cheap model", "wayside": "(c) Wayside"}
    usd = {
        arm: median([1000 * run["usd_per_ticket"] for run in cost["runs"] if run["arm"] == arm])
        for arm in arms
    }

    def draw(axes: Any) -> None:
        colours = [_COLOURS["ours" if arm == "wayside" else "other"] for arm in reversed(arms)]
        bars = axes.barh(
            [arms[arm] for arm in reversed(arms)], [usd[arm] for arm in reversed(arms)], color=colours
        )
        axes.bar_label(bars, [f" {usd[arm]:.2f}" for arm in reversed(arms)])
        axes.set_xlabel("USD per 1,000 tickets")
        axes.grid(visible=False, axis="y")

    return f"What {cost['workload']} costs", _figure(draw, height=1.9)


def _caches(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A file of pairs gives its figures as they are, several give them by name."""
    files = {"": figures} if "coverage" in figures else figures
    return [
        (f"Hits against errors{f', {name}' if name else ''}", _figure(partial(_trade_off, found)))
        for name, found in files.items()
    ]


def _trade_off(figures: Mapping[str, Any], axes: Any) -> None:
    for name, label, colour in (
        ("sweep", "wayside, its threshold moved", "ours"),
        ("cosine", "cosine alone, same encoder", "forward"),
    ):
        points = figures[name]
        traps = [100 * point["trap_serve_rate"] for point in points]
        served = [100 * point["coverage"] for point in points]
        axes.plot(traps, served, "o-", markersize=4, label=label, color=_COLOURS[colour])
        for point, x, y in zip(points, traps, served, strict=True):
            axes.annotate(
                f"{point['threshold']:g}", (x, y), fontsize=6, xytext=(3, 3), textcoords="offset points"
            )
    for (name, point), mark in zip(figures["peers"].items(), "sD^v", strict=False):
        at = (100 * point["trap_serve_rate"], 100 * point["coverage"])
        axes.plot(*at, mark, color=_COLOURS["all"], label=f"{name.partition(',')[0]}, default rule")
    own = (100 * figures["trap_serve_rate"], 100 * figures["coverage"])
    axes.plot(*own, "*", markersize=14, color=_COLOURS["ours"], label="wayside as shipped")
    axes.set_xlabel("wrongly served, % of the questions that need another answer")
    axes.set_ylabel("rightly served, %")
    axes.legend(frameon=False, fontsize=7, loc="lower right")


def _endurance(figures: Mapping[str, Any]) -> tuple[str, str]:
    sizes = figures["sizes"]

    def draw(axes: Any) -> None:
        axes.plot(
            [size["done"] for size in sizes],
            [size["rss_bytes"] / 1e6 for size in sizes],
            color=_COLOURS["ours"],
        )
        axes.axvspan(
            0.25 * figures["requests"], 0.35 * figures["requests"], color="#f3d9d6", label="no upstream"
        )
        axes.set_xlabel("requests")
        axes.set_ylabel("resident MB")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="lower right")

    return "Memory over the run", _figure(draw)
