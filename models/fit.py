"""An operator's own intents on a frozen encoder: new head, calibrated, in seconds."""

import random
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from edge.adapters.onnx_encoder import Network
from models.calibrate import fit_logistic, fit_temperature, threshold
from models.graft import with_head
from models.logistic import Linear, fit_linear, softmax
from models.metrics import Floats, Integers
from models.noise import noisy
from models.progress import progress
from models.reading.bundle import (
    MANIFEST,
    MODEL,
    TOKENIZER,
    Head,
    Manifest,
    Scope,
    Source,
    read_bundle,
    sha256,
)
from models.report import FitReport, fit_report
from models.rows import OUT_OF_SCOPE, DataRefused, IntentRow, check_counts, read_intents

LEAST_EXAMPLES: Final = 5
FEW_ROWS: Final = 3000
"""Below this many examples each also stands with typing noise: the few then show more of the space."""
COPIES: Final = 2
STRANGERS: Final = 300
FOLDS: Final = 5
STEPS: Final = 120
FOLD_STEPS: Final = 60
RIDGE: Final = 2e-5
"""Chosen on Banking77's training rows, a tenth of them held out."""
SEED: Final = 5

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A head for the operator's intents and what was learned about their examples."""

    labels: tuple[str, ...]
    route: Linear
    prototypes: Floats32
    """Shape (384, prototypes), unit-norm columns."""
    scope: tuple[float, float, float]
    temperature: float
    threshold: float
    report: FitReport


def read_examples(routes: Path) -> list[IntentRow]:
    """Examples of a TOML route table, inline or in the JSONL file it names, or of a JSONL file itself.

    In TOML: `[intents.NAME] examples = ["…", …]`, or `examples_file = "examples.jsonl"` at the top,
    relative to the table.
    """
    if routes.suffix != ".toml":
        rows = read_intents(routes)
        check_counts(routes, rows, at_least=LEAST_EXAMPLES)
        return rows
    try:
        table = tomllib.loads(routes.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataRefused(f"{routes}: {error}") from error
    if "examples_file" in table:
        return read_examples(routes.parent / str(table["examples_file"]))
    rows = []
    for intent, entry in table.get("intents", {}).items():
        texts = entry.get("examples", []) if isinstance(entry, dict) else []
        if len(texts) < LEAST_EXAMPLES or not all(isinstance(text, str) and text.strip() for text in texts):
            line = _line_of(routes, intent)
            raise DataRefused(
                f"{routes}: line {line}: intent {intent!r} has {len(texts)} example(s), "
                f"it needs {LEAST_EXAMPLES} texts or more"
            )
        rows += [IntentRow(text=text, intent=intent) for text in texts]
    owners: dict[str, str] = {}
    for row in rows:
        if owners.setdefault(row.text, row.intent) != row.intent:
            line = _line_of(routes, row.intent)
            raise DataRefused(
                f"{routes}: line {line}: {row.text!r} is also an example of {owners[row.text]!r}"
            )
    if len({row.intent for row in rows} - {OUT_OF_SCOPE}) < 2:
        raise DataRefused(f"{routes}: line 1: fewer than two [intents] with examples")
    return rows


def fit(network: Network, rows: list[IntentRow], strangers: list[str]) -> Fitted:
    """Fits a head to the rows; `strangers` are texts assumed to lie outside the operator's intents.

    Rows with the intent `oos` take the strangers' place where there are any.
    """
    known = list({row.text: row for row in rows if row.intent != OUT_OF_SCOPE}.values())
    outside = [row.text for row in rows if row.intent == OUT_OF_SCOPE] or strangers[:STRANGERS]
    labels = tuple(sorted({row.intent for row in known}))
    places = {label: index for index, label in enumerate(labels)}
    truth = np.array([places[row.intent] for row in known], dtype=np.int64)
    texts = [row.text for row in known]
    vectors = embed(network, texts, title="examples")
    extra, owners = _noisy_copies(network, texts)
    far = embed(network, outside, title="outside")
    everything = np.concatenate([vectors, extra])
    every_truth = np.concatenate([truth, truth[owners]])
    route = fit_linear(everything, every_truth, labels=len(labels), ridge=RIDGE, steps=STEPS)
    held = _held_out(vectors, extra, owners, truth, labels=len(labels))
    prototypes = _centres(vectors, truth, len(labels))
    inside_evidence = np.stack([-_energy(held.logits), -held.near], axis=1)
    outside_evidence = np.stack([-_energy(route.logits(far)), -(far @ prototypes).max(1)], axis=1)
    scope = _weigh(inside_evidence, outside_evidence)
    chances = 1 / (1 + np.exp(-(inside_evidence @ np.array(scope[:2]) + scope[2])))
    temperature = fit_temperature(held.logits, truth)
    return Fitted(
        labels=labels,
        route=route,
        prototypes=prototypes,
        scope=scope,
        temperature=temperature,
        threshold=threshold(chances),
        report=fit_report(known, labels, softmax(held.logits / temperature)),
    )


def write_bundle(base: Network, fitted: Fitted, name: str, out: Path) -> Manifest:
    """Writes the base bundle with the fitted head in place of its route head."""
    out.mkdir(parents=True, exist_ok=True)
    model = with_head(
        base.bundle.model.read_bytes(),
        route=(fitted.route.weight, fitted.route.bias),
        prototypes=fitted.prototypes,
        scope=fitted.scope,
    )
    (out / MODEL).write_bytes(model)
    (out / TOKENIZER).write_bytes(base.bundle.tokenizer.read_bytes())
    was = base.bundle.manifest
    route = Head(name="route", output="fitted_route", labels=fitted.labels, temperature=fitted.temperature)
    report = fitted.report
    manifest = msgspec.structs.replace(
        was,
        name=name,
        heads=(route, *(head for head in was.heads if head.name != "route")),
        scope=Scope(output="fitted_out_of_scope", scale=1.0, offset=0.0, threshold=fitted.threshold),
        sources=(
            *was.sources,
            Source(name="operator", licence="the operator's own", rows=report.examples, use="intent labels"),
        ),
        metrics={"held_out_accuracy": report.accuracy, "held_out_macro_f1": report.macro_f1},
        files={MODEL: sha256(out / MODEL), TOKENIZER: sha256(out / TOKENIZER)},
    )
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (out / MANIFEST).write_bytes(raw + b"\n")
    read_bundle(out)
    return manifest


def embed(network: Network, texts: list[str], *, title: str) -> Floats32:
    """Embeddings of texts, shape (texts, 384), two passes beside each other."""
    output = network.bundle.manifest.embedding.output
    with ThreadPoolExecutor(max_workers=2) as pool:
        readings = pool.map(lambda text: network.read(text).outputs[output], texts, chunksize=32)
        rows = [row for _, row in zip(progress(texts, title), readings, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, network.bundle.manifest.embedding.dimensions), np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class _HeldOut:
    logits: Floats
    near: Floats


def _held_out(
    vectors: Floats32, extra: Floats32, owners: Integers, truth: Integers, *, labels: int
) -> _HeldOut:
    """Every example's logits and nearest prototype by a head that has not seen it or its copies."""
    fold_of = np.empty(len(truth), dtype=np.int64)
    rng = np.random.default_rng(SEED)
    for label in range(labels):
        mine = np.flatnonzero(truth == label)
        fold_of[rng.permutation(mine)] = np.arange(len(mine)) % FOLDS
    folds = FOLDS if len(truth) <= FEW_ROWS else 2
    fold_of %= folds
    logits, near = np.zeros((len(truth), labels)), np.zeros(len(truth))
    for fold in range(folds):
        kept, held = fold_of != fold, fold_of == fold
        copies = kept[owners]
        table = np.concatenate([vectors[kept], extra[copies]])
        answers = np.concatenate([truth[kept], truth[owners[copies]]])
        # Not warm-started at the full head: the held-out rows would leak through it.
        head = fit_linear(table, answers, labels=labels, ridge=RIDGE, steps=FOLD_STEPS)
        logits[held] = head.logits(vectors[held])
        near[held] = (vectors[held] @ _centres(vectors[kept], truth[kept], labels)).max(1)
    return _HeldOut(logits=logits, near=near)


def _centres(vectors: Floats32, truth: Integers, labels: int) -> Floats32:
    """Unit-norm mean embedding of each label that has rows, as columns."""
    centres = [vectors[truth == label].mean(0) for label in range(labels) if (truth == label).any()]
    table = np.stack(centres)
    return np.ascontiguousarray((table / np.linalg.norm(table, axis=1, keepdims=True)).T.astype(np.float32))


def _noisy_copies(network: Network, texts: list[str]) -> tuple[Floats32, Integers]:
    if len(texts) > FEW_ROWS:
        return embed(network, [], title=""), np.zeros(0, dtype=np.int64)
    rng = random.Random(SEED)  # noqa: S311
    owners = np.repeat(np.arange(len(texts)), COPIES)
    return embed(network, [noisy(texts[row], rng) for row in owners], title="with noise"), owners


def _energy(logits: Floats) -> Floats:
    top = logits.max(1)
    return np.asarray(top + np.log(np.exp(logits - top[:, None]).sum(1)))


def _weigh(inside: Floats, outside: Floats) -> tuple[float, float, float]:
    """Both kinds of evidence, each scaled to the spread of the known texts, summed and calibrated."""
    spread = inside.std(0) + 1e-6
    table = np.concatenate([inside, outside])
    target = np.concatenate([np.zeros(len(inside)), np.ones(len(outside))])
    scale, offset = fit_logistic((table / spread).sum(1), target, balanced=True)
    return float(scale / spread[0]), float(scale / spread[1]), float(offset)


def _line_of(path: Path, intent: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [number for number, line in enumerate(lines, start=1) if line.startswith("[") and intent in line]
    return places[0] if places else 1
