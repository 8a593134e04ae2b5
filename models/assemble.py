"""Turns a trained run into a bundle: scope score, export, calibration, manifest."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from tqdm import tqdm

from edge.adapters.onnx_encoder import Network
from models.attach import attach
from models.calibrate import fit_logistic, fit_temperature, threshold
from models.card import card
from models.dataset import Collection, Example, collect, data_directory, share
from models.export import Served, export_int8, parity, torch_parity
from models.licences import BASE, licence
from models.network import DIMENSIONS, base_directory, token_ids, tokenizer, window
from models.reading.bundle import (
    MANIFEST,
    MODEL,
    SCHEMA_VERSION,
    TOKENIZER,
    Embedding,
    Head,
    Manifest,
    Scope,
    Source,
    read_bundle,
    sha256,
)
from models.reading.reader import FloatArray
from models.readout import gather, load_student
from models.recipe import Recipe
from models.restore import restore
from models.scope import aurocs, fit_scope
from models.train import signal_names

CARD: Final = "card.md"
POOLING: Final = "mean of the last layer, one linear map, unit norm"
PARITY_TEXTS: Final = 100
BORROWED: Final = 0.4
"""Share of the general pack's examples that another pack's signal heads learn from."""
SIGNALS: Final = ("complexity", "injection", "needs_tools")


def assemble(name: str, collection: Collection, recipe: Recipe, run: Path, bundle: Path) -> Manifest:
    """Exports `run`'s student into `bundle`, calibrated on the collection's validation texts."""
    student = load_student(collection, recipe, run / "student.pt")
    straightness = restore(student, collection, recipe, run)
    # A pack's own texts say nothing of attacks and tools: heads on its frozen features learn them
    # elsewhere.
    others = collect("general", data_directory())
    missing = tuple(name for name in SIGNALS if name not in recipe.signals)
    drawn = [one for one in others.train if not missing or share(f"drawn {one.text}") < BORROWED]
    if anew := tuple(dict.fromkeys((*recipe.attached, *missing))):
        recipe = attach(student, drawn, recipe, anew)
    if missing:
        extra = [one for one in others.validation if any(name in one.signals for name in missing)]
        told = [replace(one, intent=None, signals=_without_scope(one)) for one in extra]
        collection = replace(collection, validation=[*collection.validation, *told])
    names = signal_names(recipe)
    inside = [one for one in collection.validation if one.intent is not None]
    outside = [one for one in collection.validation if one.signals.get("out_of_scope") == 1.0]
    known = [one for one in collection.train if one.intent is not None]
    places = {label: index for index, label in enumerate(collection.labels)}
    truth = torch.tensor([places[one.intent] for one in known if one.intent is not None])
    evidence = [gather(student, [one.text for one in part], recipe) for part in (known, inside, outside)]
    score = fit_scope(evidence[0], truth, evidence[1], evidence[2], seed=recipe.seed)
    print("out-of-scope AUROC on validation:", aurocs(score, evidence[1], evidence[2]))
    served = Served(student, score, names)
    reference, model = export_int8(served, run / "export")
    bundle.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, bundle / MODEL)
    made = tokenizer(base_directory())
    made.save(str(bundle / TOKENIZER), pretty=False)
    kept = window(made, max_tokens=recipe.max_tokens)
    rows = [token_ids(made, one.text, kept=kept) for one in inside[:PARITY_TEXTS]]
    apart = parity(reference, model, rows)
    metrics = {
        "embedding_cosine_to_base": straightness,
        "parity_torch_fp32_logit": torch_parity(served, reference, rows[:20]),
        "parity_fp32_int8_cosine": apart.cosine,
        "parity_fp32_int8_route_agreement": apart.route_agreement,
    }
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        base=BASE,
        embedding=Embedding(output="embedding", dimensions=DIMENSIONS, pooling=POOLING),
        window=kept,
        heads=(
            Head(name="route", output="route", labels=collection.labels),
            *(Head(name=one, output=one, labels=(f"not_{one}", one)) for one in names[1:]),
        ),
        scope=Scope(output="out_of_scope", scale=1.0, offset=0.0, threshold=0.5),
        sources=sources([*collection.train, *(others.train if missing else [])]),
        metrics=metrics,
        files={MODEL: sha256(bundle / MODEL), TOKENIZER: sha256(bundle / TOKENIZER)},
    )
    write_manifest(bundle, manifest)
    calibrated = calibrate(Network(read_bundle(bundle)), collection)
    write_manifest(bundle, calibrated)
    (bundle / CARD).write_text(card(calibrated), encoding="utf-8")
    return calibrated


def calibrate(network: Network, collection: Collection) -> Manifest:
    """The manifest with temperatures, offsets and threshold fitted to the int8 network's own outputs."""
    manifest = network.bundle.manifest
    examples = [one for one in collection.validation if one.intent is not None or one.signals]
    readings = [network.read(one.text).outputs for one in tqdm(examples, desc="calibrate", mininterval=10)]
    heads = [_calibrated(head, examples, readings, collection.served) for head in manifest.heads]
    known = [
        row
        for row, one in enumerate(examples)
        if one.intent is not None or one.signals.get("out_of_scope") == 1.0
    ]
    outside = np.array([float(examples[row].intent is None) for row in known])
    scores = np.array([float(readings[row][manifest.scope.output][0]) for row in known])
    scale, offset = fit_logistic(scores, outside, balanced=True)
    chances = 1 / (1 + np.exp(-(scores[outside == 0] * scale + offset)))
    scope = Scope(output=manifest.scope.output, scale=scale, offset=offset, threshold=threshold(chances))
    return msgspec.structs.replace(manifest, heads=tuple(heads), scope=scope)


def sources(examples: list[Example]) -> tuple[Source, ...]:
    """What shaped the weights, with licences and row counts."""
    counts = Counter(one.source.split(":")[0] for one in examples)
    return tuple(
        Source(name=name, licence=licence(name).terms, rows=rows, use=licence(name).use)
        for name, rows in sorted(counts.items())
    )


def _without_scope(example: Example) -> dict[str, float]:
    return {name: value for name, value in example.signals.items() if name != "out_of_scope"}


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """Writes `bundle.json`, indented, so that a change of it can be read."""
    raw = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (bundle / MANIFEST).write_bytes(raw + b"\n")


def _calibrated(
    head: Head, examples: list[Example], readings: list[dict[str, FloatArray]], served: frozenset[str]
) -> Head:
    if head.width > 1:
        places = {label: index for index, label in enumerate(head.labels)}
        rows = [
            (places[one.intent], row)
            for row, one in enumerate(examples)
            if one.intent is not None and (not served or one.source in served)
        ]
        logits = np.stack([readings[row][head.output] for _, row in rows]).astype(np.float64)
        return msgspec.structs.replace(
            head, temperature=fit_temperature(logits, np.array([place for place, _ in rows]))
        )
    told = [(one.signals[head.name], row) for row, one in enumerate(examples) if head.name in one.signals]
    # A complexity target of a half says that both models did alike: the strong one was not needed.
    truth = np.array([float(value > 0.5) for value, _ in told])
    scores = np.array([float(readings[row][head.output][0]) for _, row in told])
    scale, offset = fit_logistic(scores, truth)
    return msgspec.structs.replace(head, temperature=1 / max(scale, 1e-3), offset=offset)
