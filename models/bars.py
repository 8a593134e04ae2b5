"""Measures every bar of the shipped bundles: the table of the README."""

import random
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge.adapters.onnx_encoder import Network
from models.dataset import (
    HELD_OUT_SUBJECTS,
    REAL,
    Collection,
    Example,
    banking_rows,
    clinc,
    collect,
    data_directory,
)
from models.evaluate import HeadReport, evaluate
from models.fit import fit, write_bundle
from models.metrics import Floats, average_recovered_gap, bootstrap_gap
from models.progress import progress
from models.quora import quora_auc
from models.reading.bundle import SHIPPED, read_bundle
from models.rows import IntentRow
from models.strangers import strangers

HERE: Final = Path(__file__).parent
FALSE_ALARMS: Final = 0.01
BENIGN: Final = (
    "thank you so much for your kind help today I hope the weather stays nice and sunny for our picnic in "
    "the garden with family friends music cake and a long walk by the river"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One row of the table."""

    what: str
    bar: str
    measured: str
    hit: bool

    @property
    def is_promised(self) -> bool:
        """Whether there is a bar; some figures stand in the table to be known."""
        return self.bar != "-"


def print_table(*, quick: bool) -> None:
    """Markdown, a line a bar, as soon as it is measured."""
    print("| | bar | measured | |\n|---|---|---|---|")
    for part in parts(data_directory(), quick=quick):
        for line in part():
            print(
                f"| {line.what} | {line.bar} | {line.measured} | {'hit' if line.hit else '**missed**'} |",
                flush=True,
            )


def parts(data: Path, *, quick: bool) -> list[Callable[[], list[Line]]]:
    """What measures the table, a few lines each; `quick`: without the fit of Banking77 and most Quora pairs.

    `data` holds the collections; a file that is missing raises OSError.
    """
    general = Network(read_bundle(SHIPPED))
    assistant = Network(read_bundle(HERE / "bundles" / "assistant"))
    prompts = collect("general", data)
    found: list[Callable[[], list[Line]]] = [
        lambda: serving(general),
        lambda: intents(assistant, data),
        lambda: routes(general, prompts),
        lambda: complexity(general, prompts),
        lambda: attacks(general, prompts),
        lambda: retrieval(general, assistant, data, every=12 if quick else 3),
    ]
    if not quick:
        found.append(lambda: banking(general, data))
    return found


def intents(network: Network, data: Path) -> list[Line]:
    """CLINC150's test split with its out-of-scope rows."""
    report = _report(network, [*clinc(data, "test"), *clinc(data, "oos_test")])
    accuracy, recall, auroc = report.accuracy or 0, report.oos_recall_at_95 or 0, report.oos_auroc or 0
    noise = report.noise_accuracy or 0
    return [
        _line(
            "CLINC150 in-scope accuracy (under typing noise)", accuracy, 0.96, f"{accuracy:.3f} ({noise:.3f})"
        ),
        _line("CLINC150 out-of-scope recall, 95 % of in-scope kept", recall, 0.86, f"{recall:.3f}"),
        _line("CLINC150 out-of-scope AUROC", auroc, 0.97, f"{auroc:.3f}"),
    ]


def banking(network: Network, data: Path) -> list[Line]:
    """Banking77 by the frozen fit on its training rows."""
    began = time.perf_counter()
    fitted = fit(network, banking_rows(data, "train"), strangers())
    seconds = time.perf_counter() - began
    out = HERE / "runs" / "banking-fit"
    write_bundle(network, fitted, "banking", out)
    report = _report(Network(read_bundle(out)), banking_rows(data, "test"))
    accuracy = report.accuracy or 0
    return [
        _line(
            "Banking77 accuracy, `fit` only", accuracy, 0.915, f"{accuracy:.3f} (fitted in {seconds:.0f} s)"
        )
    ]


def routes(network: Network, prompts: Collection) -> list[Line]:
    """The route head on real prompts held out of training, and the abstention score beside it."""
    real = [one for one in prompts.validation if one.source.split(":")[0] in REAL and one.intent]
    outside = [one for one in prompts.validation if one.signals.get("out_of_scope") == 1.0]
    report = _report(network, _rows([*real, *outside]))
    strict, second, ece = report.accuracy or 0, report.accuracy_with_alt or 0, report.ece or 0
    return [
        _line(f"route, {len(real)} held-out real prompts, strict", strict, 0.72, f"{strict:.3f}"),
        _line("route, second label counted", second, 0.85, f"{second:.3f}"),
        Line(what="route, calibration error", bar="<= 0.06", measured=f"{ece:.3f}", hit=ece <= 0.06),
        _line(
            "fragments and pasted text told apart, AUROC",
            report.oos_auroc or 0,
            0.0,
            f"{report.oos_auroc:.3f}",
        ),
    ]


def complexity(network: Network, prompts: Collection) -> list[Line]:
    """APGR of held-out outcomes: seen subjects, subjects left out, grade-school mathematics."""
    held = [one for one in prompts.validation if "complexity" in one.signals]
    groups = {
        "MMLU, seen subjects": (0.70, [one for one in held if _seen(one)]),
        "MMLU, subjects left out": (
            0.61,
            [one for one in held if one.source.startswith("mmlu") and not _seen(one)],
        ),
        "GSM8K": (0.62, [one for one in held if one.source == "gsm8k"]),
    }
    lines = []
    for name, (bar, rows) in groups.items():
        scores = np.array([network.encode(one.text).complexity for one in progress(rows, name)])
        gain = np.array([2 * one.signals["complexity"] - 1 for one in rows])
        weak, strong = np.zeros(len(gain)), gain
        lengths = np.array([len(one.text) for one in rows], dtype=np.float64)
        value, length = (average_recovered_gap(one, weak, strong) for one in (scores, lengths))
        low, high = bootstrap_gap(scores, weak, strong, rounds=500, seed=1)
        shown = f"{value:.3f} ({low:.3f} to {high:.3f}, n={len(rows)}; length {length:.3f})"
        lines.append(_line(f"complexity APGR, {name}", value, bar, shown))
    return lines


def attacks(network: Network, prompts: Collection) -> list[Line]:
    """Injection recall where one ordinary prompt in a hundred raises a false alarm, and after padding."""
    told = [one for one in prompts.validation if "injection" in one.signals]
    hostile = [one.text for one in told if one.signals["injection"] == 1.0]
    guarded = ("neuralchemy", "s-labs")
    ordinary = [
        one.text
        for one in told
        if one.signals["injection"] == 0.0 and one.source.split(":")[0] not in guarded
    ]
    alarm = float(np.quantile(_injection(network, ordinary), 1 - FALSE_ALARMS))
    found = _injection(network, hostile) > alarm
    caught = [text for text, hit in zip(hostile, found, strict=True) if hit][::3]
    rng = random.Random(4)  # noqa: S311
    flips = []
    for words in (3, 10, 25):
        padded = [f"{text} {' '.join(rng.choices(BENIGN.split(), k=words))}" for text in caught]
        flips.append(float(np.mean(_injection(network, padded) <= alarm)))
    followed = [f"{text} {rng.choice(ordinary)[:300]}" for text in caught]
    lost = float(np.mean(_injection(network, followed) <= alarm))
    recall, worst = float(found.mean()), max(flips)
    shown = ", ".join(f"{flip:.1%}" for flip in flips)
    return [
        _line("injection recall at 1 % false alarms", recall, 0.85, f"{recall:.3f}"),
        Line(what="flipped by 3, 10, 25 benign words", bar="<= 10 %", measured=shown, hit=worst <= 0.10),
        Line(what="flipped by a whole ordinary prompt", bar="-", measured=f"{lost:.1%}", hit=True),
    ]


def retrieval(general: Network, assistant: Network, data: Path, *, every: int) -> list[Line]:
    """AUC of cosine on Quora pairs, which train nothing here."""
    value, other = quora_auc(general, data, every=every), quora_auc(assistant, data, every=every)
    shown = f"{value:.4f} (assistant {other:.4f})"
    return [_line("embedding, Quora AUC", value, 0.865, shown)]


def serving(network: Network) -> list[Line]:
    """Latency of one pass with its tokenizer, size on disk, memory of this process so far."""
    lines = []
    for tokens, bar in ((16, 1.5), (128, 11.0)):
        text = " ".join(["river"] * (tokens - 2))
        seconds = []
        for _ in range(300):
            began = time.perf_counter()
            network.encode(text)
            seconds.append(time.perf_counter() - began)
        p50, p99 = np.quantile(seconds[50:], [0.5, 0.99]) * 1e3
        name, shown = f"one pass, {tokens} tokens, p50 (p99)", f"{p50:.2f} ms ({p99:.2f})"
        lines.append(Line(what=name, bar=f"<= {bar} ms", measured=shown, hit=bool(p50 <= bar)))
    size = sum(file.stat().st_size for file in network.bundle.directory.iterdir()) / 1e6
    lines.append(Line(what="bundle size", bar="<= 25 MB", measured=f"{size:.1f} MB", hit=size <= 25))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    lines.append(Line(what="peak memory of this process", bar="-", measured=f"{peak:.0f} MB", hit=True))
    return lines


def _seen(example: Example) -> bool:
    kind, _, subject = example.source.partition(":")
    return kind == "mmlu" and subject not in HELD_OUT_SUBJECTS


def _injection(network: Network, texts: Sequence[str]) -> Floats:
    return np.array([network.encode(text).injection for text in progress(texts, "injection")])


def _rows(examples: Sequence[Example]) -> list[IntentRow]:
    return [IntentRow(text=one.text, intent=one.intent or "oos", alt=one.alt) for one in examples]


def _report(network: Network, rows: list[IntentRow]) -> HeadReport:
    return evaluate(network, network.bundle.manifest.head("route"), rows, path=Path("test split"))


def _line(what: str, value: float, bar: float, shown: str) -> Line:
    return Line(what=what, bar=f">= {bar}" if bar else "-", measured=shown, hit=value >= bar)
