"""The tables of `cache`: ours, cosine alone, and the rules of others, on one file of pairs."""

from bench.cache import CacheReport, Figures
from bench.tables import table


def render(title: str, report: CacheReport) -> str:
    ours = report.ours
    header = ["system", "equivalents served", "traps served", "wrong per hit", "wrong per request", "hits"]
    rows = [_row(f"wayside as shipped, {report.threshold:.3f}", ours)]
    rows += [_row(f"wayside, {at:.3f}", found) for at, found in report.sweep]
    rows += [_row(f"cosine {at:.2f}, same encoder", found) for at, found in report.cosine]
    rows += [_row(f"{name}; its rule on the same encoder", found) for name, found in report.peers.items()]
    categories = [[name, f"{one['served']:.0f} of {one['n']:.0f}"] for name, one in ours.by_category.items()]
    refusals = ", ".join(f"{count} {reason}" for reason, count in report.refusals.items())
    return "\n\n".join(
        [
            f"## cache: {title}, {ours.n} rows",
            table(header, rows),
            table(["category", "served"], categories),
            f"Not served: {refusals}.",
            f"{report.withheld:.0%} of the served are personal or time-dependent questions, which the edge's "
            "cacheability rule keeps from being looked up at all; the figures above are the verifier's.",
            f"Encode, compare and verify: p50 {report.p50_ms:.2f} ms, p99 {report.p99_ms:.2f} ms.",
        ]
    )


def _row(name: str, found: Figures) -> list[str]:
    def told(value: float, bounds: tuple[float, float]) -> str:
        return f"{value:.1%} ({bounds[0]:.1%}–{bounds[1]:.1%})"

    return [
        name,
        told(found.coverage, found.coverage_bounds),
        told(found.trap_serve_rate, found.trap_serve_bounds),
        told(found.wrong_per_hit, found.wrong_per_hit_bounds),
        told(found.wrong_per_request, found.wrong_per_request_bounds),
        str(found.hits),
    ]
