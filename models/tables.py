"""Reports as lines for a terminal."""

from models.evaluate import HeadReport
from models.routing import RoutingReport


def head_lines(report: HeadReport) -> str:
    """Figures of a head, clean beside noisy."""
    pairs = [
        ("accuracy", report.accuracy, report.noise_accuracy),
        ("macro-F1", report.macro_f1, report.noise_macro_f1),
        ("out-of-scope recall, 95 % kept", report.oos_recall_at_95, report.noise_oos_recall_at_95),
        ("out-of-scope AUROC", report.oos_auroc, report.noise_oos_auroc),
        ("expected calibration error", report.ece, report.noise_ece),
    ]
    lines = [f"{report.n} rows, {report.n_out_of_scope} out of scope", f"{'':32} {'clean':>8} {'noisy':>8}"]
    lines += [f"{name:32} {_figure(clean):>8} {_figure(noisy):>8}" for name, clean, noisy in pairs]
    lines.append(f"{'accuracy with second label':32} {_figure(report.accuracy_with_alt):>8}")
    lines += [f"risk at {point.coverage:.0%} coverage {point.risk:.3f}" for point in report.risk_coverage]
    lines.append(f"one pass, tokenizer included: p50 {report.p50_ms:.2f} ms, p99 {report.p99_ms:.2f} ms")
    return "\n".join(lines)


def routing_lines(report: RoutingReport) -> str:
    """APGR beside its baselines."""
    return "\n".join(
        [
            f"{report.n} prompts; weak right {report.weak_accuracy:.3f}, strong {report.strong_accuracy:.3f}",
            f"APGR {report.apgr:.3f} (95 % {report.apgr_low:.3f} to {report.apgr_high:.3f})",
            f"CPT50 {report.cpt50:.3f}, CPT80 {report.cpt80:.3f}",
            f"baselines: random {report.baselines.random:.3f}, length {report.baselines.length:.3f}, "
            f"TF-IDF fitted to this file {report.baselines.tfidf:.3f}",
        ]
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
