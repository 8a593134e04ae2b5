"""The trade-off of a semantic cache as a picture: equivalents served against traps served."""

from collections.abc import Mapping
from pathlib import Path

from bench.cache import CacheReport


def draw(reports: Mapping[str, CacheReport], path: Path) -> None:
    """Writes one panel a file of pairs; the format follows the path's ending."""
    from matplotlib.figure import Figure  # heavy, and only here

    figure = Figure(figsize=(5.2 * len(reports), 4.2), layout="constrained")
    for axes, (name, report) in zip(
        figure.subplots(1, len(reports), squeeze=False)[0], reports.items(), strict=True
    ):
        for label, points in (("wayside", report.sweep), ("cosine, same encoder", report.cosine)):
            traps = [100 * found.trap_serve_rate for _, found in points]
            served = [100 * found.coverage for _, found in points]
            axes.plot(traps, served, marker="o", label=label)
            for (at, _), x, y in zip(points, traps, served, strict=True):
                axes.annotate(f"{at:g}", (x, y), fontsize=7, textcoords="offset points", xytext=(3, 3))
        axes.plot(
            100 * report.ours.trap_serve_rate, 100 * report.ours.coverage, "k*", ms=12, label="as shipped"
        )
        axes.set(
            title=f"{name}, n = {report.ours.n}", xlabel="traps served, %", ylabel="equivalents served, %"
        )
        axes.grid(visible=True, alpha=0.3)
        axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
