"""The verifier's stages: train teachers and student, export to int8, calibrate, evaluate."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from edge.adapters.onnx_encoder import Network
from edge.guards import hard_difference
from edge.verifier_bundle import VERIFIER_SCHEMA, CalibrationBin, PairNetwork, VerifierManifest, read_verifier
from models.calibrate import fit_logistic
from models.crossencoder import CrossEncoder, Plan, averaged, scores, train_verifier
from models.dataset import data_directory
from models.fit import embed
from models.licences import BASE
from models.metrics import auroc
from models.network import base_directory
from models.pairs import Pair, collect_pairs
from models.reading.bundle import MODEL, SHIPPED, TOKENIZER, read_bundle, sha256

HERE: Final = Path(__file__).parent
RUN: Final = HERE / "runs" / "verifier"
BUNDLE: Final = HERE / "bundles" / "verifier"
TEACHERS: Final = (
    Plan(seed=0, epochs=2, rate=1e-4),
    Plan(seed=1, epochs=2, rate=1.5e-4),
    Plan(seed=2, epochs=2, rate=8e-5),
)
STUDENT: Final = Plan(seed=7, epochs=1.5, rate=6e-5, head_rate=3e-4, teaching=0.6)
ALL_SAY_SAME: Final = 2.0
ALL_SAY_OTHER: Final = -3.0
"""Mean logits of the teachers beyond which a Quora label against them counts as noise."""
SERVED_TRAPS: Final = {"threshold": 0.03, "strict_threshold": 0.015}
"""Share of the written traps held out of training that each threshold lets pass, guards included."""
SIMILARITY_WEIGHT: Final = 2.0
"""Chosen on Quora validation pairs, where 2 to 8 differ little in AUC (0.917 to 0.920; 0.912 without)."""
BINS: Final = 20


def train_stage(*, with_quora: bool = True) -> None:
    """Teachers from several seeds, the mean of their weights, and a student taught by their logits.

    Each network is written to `models/runs/verifier` when it is done; what is there is not trained again.
    """
    RUN.mkdir(parents=True, exist_ok=True)
    pairs = [one for one in collect_pairs(data_directory(), with_quora=with_quora) if one.split == "train"]
    states, logits = [], []
    for plan in TEACHERS:
        file, told = RUN / f"seed{plan.seed}.pt", RUN / f"logits{plan.seed}.npy"
        if not told.exists():
            net = train_verifier(pairs, plan, name=f"teacher {plan.seed}")
            torch.save(_on_cpu(net), file)
            np.save(told, np.array(scores(net, [(one.a, one.b) for one in pairs], both_orders=False)))
        states.append(torch.load(file, weights_only=True))
        logits.append(np.load(told))
    teacher = np.mean(logits, axis=0)
    kept = [row for row, one in enumerate(pairs) if not _is_noise(one, teacher[row])]
    student = train_verifier(
        [pairs[row] for row in kept],
        STUDENT,
        start=averaged(states),
        teacher=[float(teacher[row]) for row in kept],
        name="student",
    )
    torch.save(_on_cpu(student), RUN / "student.pt")


def export_stage(out: Path = BUNDLE) -> VerifierManifest:
    """Writes the int8 bundle of `models/runs/verifier/student.pt`, calibrated on validation pairs."""
    from models.export import quantized  # brings Optimum

    net = CrossEncoder(base_directory())
    net.load_state_dict(torch.load(RUN / "student.pt", weights_only=True))
    _, model = quantized(_Served(net.eval()), RUN / "export", inputs=_INPUTS, outputs=("logit",))
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, out / MODEL)
    shutil.copyfile(base_directory() / "tokenizer.json", out / TOKENIZER)
    return calibrate_stage(out)


def calibrate_stage(out: Path = BUNDLE) -> VerifierManifest:
    """Writes the manifest and the card of the network in `out`, fitted to its own answers."""
    pairs = collect_pairs(data_directory())
    counts: dict[str, int] = {}
    for one in pairs:
        counts[one.source] = counts.get(one.source, 0) + (one.split == "train")
    manifest = VerifierManifest(
        schema_version=VERIFIER_SCHEMA,
        name="verifier",
        base=BASE,
        max_tokens=128,
        similarity_weight=SIMILARITY_WEIGHT,
        sources=_SOURCES,
        rows=counts,
        files={MODEL: sha256(out / MODEL), TOKENIZER: sha256(out / TOKENIZER)},
    )
    _write(out, manifest)
    encoder = Network(read_bundle(SHIPPED))
    # Written groups are few: those that would test help to calibrate, and the traps of others test.
    validation = [
        one for one in pairs if one.split == "validation" or (one.split == "test" and one.source == "written")
    ]
    calibrated = calibrate(PairNetwork(read_verifier(out)), encoder, validation, manifest)
    _write(out, calibrated)
    (out / "card.md").write_text(_card(calibrated), encoding="utf-8")
    return calibrated


def calibrate(
    network: PairNetwork, encoder: Network, pairs: Sequence[Pair], manifest: VerifierManifest
) -> VerifierManifest:
    """Platt's map, two thresholds and a table of outcomes by probability, all from validation pairs."""
    texts = sorted({text for one in pairs for text in (one.a, one.b)})
    places_of = {text: row for row, text in enumerate(texts)}
    vectors = embed(encoder, texts, title="embed")
    told = [
        network.logit(one.a, one.b)
        + manifest.similarity_weight * float(vectors[places_of[one.a]] @ vectors[places_of[one.b]])
        for one in tqdm(pairs, desc="calibrate", mininterval=10)
    ]
    # What is too long to be read whole is never served, so it calibrates nothing.
    pairs = [one for one, logit in zip(pairs, told, strict=True) if math.isfinite(logit)]
    logits = np.array([logit for logit in told if math.isfinite(logit)])
    truth = np.array([one.equivalent for one in pairs])
    source = np.array([one.source for one in pairs])
    quora, written = source == "quora", source == "written"
    scale, offset = fit_logistic(logits, truth.astype(np.float64), balanced=True)
    chances = 1 / (1 + np.exp(-(logits * scale + offset)))
    places = np.minimum((chances * BINS).astype(int), BINS - 1)
    table = tuple(
        CalibrationBin(
            low=place / BINS,
            equivalent=int((truth & (places == place)).sum()),
            other=int((~truth & (places == place)).sum()),
        )
        for place in range(BINS)
    )
    refused = np.array([hard_difference(one.a, one.b) is not None for one in pairs])
    traps = np.where(refused, 0.0, chances)[written & ~truth]
    limits = {name: float(np.quantile(traps, 1 - share)) for name, share in SERVED_TRAPS.items()}
    metrics = {
        "validation_quora_auc": auroc(logits[quora & ~truth], logits[quora & truth]),
        "validation_quora_coverage_at_10_wrong": coverage(logits[quora], truth[quora], wrong=0.10),
        "held_out_written_auc": auroc(logits[written & ~truth], logits[written & truth]),
    }
    return msgspec.structs.replace(
        manifest, scale=scale, offset=offset, calibration=table, metrics=metrics, **limits
    )


def coverage(
    scores_: "np.ndarray[Any, np.dtype[np.float64]]",
    truth: "np.ndarray[Any, np.dtype[np.bool_]]",
    *,
    wrong: float,
) -> float:
    """Largest share of the equivalent pairs served with at most `wrong` of the served ones not equivalent."""
    order = np.argsort(-scores_, kind="stable")
    right = np.cumsum(truth[order])
    good = np.where(right >= (1 - wrong) * np.arange(1, len(order) + 1))[0]
    return float(right[good[-1]] / truth.sum()) if len(good) else 0.0


class _Served(nn.Module):
    """What the edge runs."""

    def __init__(self, net: CrossEncoder) -> None:
        super().__init__()
        self.net = net
        self.config = net.encoder.config
        self.config._attn_implementation = "eager"

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> dict[str, Tensor]:
        return {"logit": self.net(input_ids, attention_mask, token_type_ids)}


_INPUTS: Final = ("input_ids", "attention_mask", "token_type_ids")
_SOURCES: Final = {
    "quora": "Quora question pairs (Iyer et al., 2017), Quora's terms of service: non-commercial research",
    "turned": "edits of Quora's duplicates, as above",
    "edited": "edits of Banking77 (CC BY 4.0), CLINC150 (CC BY 3.0) and Quora questions",
    "written": "questions written for this project",
}


def _is_noise(pair: Pair, logit: float) -> bool:
    if pair.source != "quora":
        return False
    return logit < ALL_SAY_OTHER if pair.equivalent else logit > ALL_SAY_SAME


def _on_cpu(net: nn.Module) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in net.state_dict().items()}


def _write(out: Path, manifest: VerifierManifest) -> None:
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (out / "bundle.json").write_bytes(raw + b"\n")


def _card(manifest: VerifierManifest) -> str:
    rows = "\n".join(
        f"| {name} | {manifest.rows.get(name, 0):,} | {terms} |" for name, terms in manifest.sources.items()
    )
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in manifest.metrics.items())
    return f"""# Verifier

Base: {manifest.base}. Reads two questions in one int8 ONNX pass and gives the probability that one answer
serves both. English only. Questions that do not fit {manifest.max_tokens} tokens together are never verified.

## Trained on

| source | training pairs | terms |
|---|---|---|
{rows}

**Quora's question pairs shaped these weights**; their terms allow non-commercial research. A verifier without
them: `python -m models verifier train --without-quora`, then `export`.

## On validation pairs (components, groups and texts that train nothing)

| | |
|---|---|
{metrics}

Served from a probability of {manifest.threshold:.3f}: with the guards, {SERVED_TRAPS["threshold"]:.1%} of the
written traps held out of training pass. {manifest.strict_threshold:.3f} lets
{SERVED_TRAPS["strict_threshold"]:.1%} of them pass.
"""
