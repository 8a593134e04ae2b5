"""Fine-tunes the encoder with all heads at once; resumable, seeded, with time left shown."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from models.dataset import Collection, Example, share
from models.network import Student, base_directory, batch, device, freeze, token_ids, tokenizer, window
from models.noise import noisy
from models.reading.bundle import Window
from models.recipe import Recipe

CHECKPOINT_STEPS: Final = 200
BUCKET_BATCHES: Final = 20
KEEP_CHARACTERS: Final = 400
"""Longer texts do not hold the embedding in place: their reference would cost an hour."""
SECOND_LABEL: Final = 0.3
"""Share of the target that a second defensible label gets."""
PADDING_ATTACKS: Final = 0.4
"""Share of texts with an injection label that get ordinary text before or after them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What is known of every training example; rows follow the examples."""

    route: Tensor
    """Shape (rows, labels): a distribution, or zeros where the intent is unknown."""
    signals: Tensor
    """Shape (rows, signals): targets in [0, 1], NaN where unknown."""
    reference: Tensor
    """Shape (rows, 384): the base encoder's embedding, zeros where it is not held in place."""
    teacher: Tensor | None
    """Shape (rows, labels): the teachers' mean logits."""


def signal_names(recipe: Recipe) -> tuple[str, ...]:
    """The single-logit heads of a recipe, in the network's order."""
    return ("out_of_scope", *recipe.signals)


def train(
    collection: Collection,
    recipe: Recipe,
    run: Path,
    *,
    teacher: Tensor | None = None,
    start: Path | None = None,
) -> Student:
    """Trains, or goes on from `run`'s checkpoint; leaves `student.pt` in `run`."""
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    where = device()
    base = base_directory()
    made = tokenizer(base)
    kept = window(made, max_tokens=recipe.train_tokens)
    examples = collection.train
    targets = _targets(collection, recipe, run, teacher)
    student = Student(
        base,
        labels=len(collection.labels),
        signals=len(signal_names(recipe)),
        hidden=recipe.hidden,
        dropout=recipe.dropout,
    ).to(where)
    if start is not None:
        student.load_state_dict(torch.load(start, weights_only=True, map_location=where))
    freeze(student, layers=recipe.frozen_layers)
    student.train()
    plan = _plan(examples, recipe)
    optimizer, schedule = _optimizer(student, recipe, steps=len(plan))
    done = _resume(run, student, optimizer, schedule)
    ordinary = [one.text for one in examples if one.source == "written" and len(one.text) < 200]
    bar = tqdm(range(done, len(plan)), initial=done, total=len(plan), desc=str(run.name), mininterval=10)
    for step in bar:
        # The step's own seed makes a resumed run draw what an unbroken one would have drawn.
        rng = random.Random(f"{recipe.seed} {step}")  # noqa: S311
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        rows = plan[step]
        texts = [_augmented(examples[row], recipe, rng, ordinary) for row in rows]
        loss, parts = _loss(student, targets, rows, _tensors(texts, made, kept, where), recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            bar.set_postfix({name: f"{value:.3f}" for name, value in parts.items()}, refresh=False)
        if (step + 1) % CHECKPOINT_STEPS == 0:
            _save(run, step + 1, student, optimizer, schedule)
    torch.save(student.state_dict(), run / "student.pt")
    return student.eval()


def _loss(
    student: Student, targets: Targets, rows: list[int], inputs: tuple[Tensor, Tensor], recipe: Recipe
) -> tuple[Tensor, dict[str, float]]:
    where = inputs[0].device
    with torch.autocast(where.type, dtype=torch.bfloat16):
        outputs = student(*inputs)
    logits = outputs.route.float()
    parts: dict[str, Tensor] = {}
    route = targets.route[rows].to(where)
    known = route.sum(1) > 0
    if bool(known.any()):
        smoothed = route * (1 - recipe.label_smoothing) + recipe.label_smoothing / route.shape[1]
        hard = -(smoothed * logits.log_softmax(1)).sum(1)
        if targets.teacher is not None:
            heat = recipe.temperature
            soft = (targets.teacher[rows].to(where) / heat).softmax(1)
            taught = -(soft * (logits / heat).log_softmax(1)).sum(1) * heat
            hard = (1 - recipe.teaching) * hard + recipe.teaching * taught
        parts["route"] = hard[known].mean() * known.float().mean() * recipe.weights.get("route", 1.0)
    wanted = targets.signals[rows].to(where)
    for index, name in enumerate(signal_names(recipe)):
        told = ~wanted[:, index].isnan()
        if bool(told.any()):
            error = nn.functional.binary_cross_entropy_with_logits(
                outputs.signals[told, index].float(), wanted[told, index]
            )
            parts[name] = error * told.float().mean() * recipe.weights.get(name, 1.0)
    reference = targets.reference[rows].to(where)
    held = reference.abs().sum(1) > 0
    if bool(held.any()) and recipe.keep > 0:
        strayed = 1 - (outputs.embedding.float()[held] * reference[held]).sum(1).mean()
        parts["keep"] = recipe.keep * strayed
    total = torch.stack(list(parts.values())).sum()
    return total, {name: float(part) for name, part in parts.items()}


def _targets(collection: Collection, recipe: Recipe, run: Path, teacher: Tensor | None) -> Targets:
    examples = collection.train
    places = {label: index for index, label in enumerate(collection.labels)}
    route = torch.zeros(len(examples), len(places))
    names = signal_names(recipe)
    signals = torch.full((len(examples), len(names)), math.nan)
    for row, example in enumerate(examples):
        if example.intent is not None:
            route[row, places[example.intent]] = 1.0
            if example.alt in places:
                route[row, places[example.intent]] = 1 - SECOND_LABEL
                route[row, places[example.alt]] = SECOND_LABEL
        for name, value in example.signals.items():
            if name in names:
                signals[row, names.index(name)] = value
    reference = (
        references([one.text for one in examples], run) if recipe.keep > 0 else torch.zeros(len(examples), 1)
    )
    return Targets(route=route, signals=signals, reference=reference, teacher=teacher)


def references(texts: Sequence[str], run: Path) -> Tensor:
    """The base encoder's own embeddings of texts that are not long; kept beside the run."""
    file = run.parent / "references.npz"
    known: dict[str, np.ndarray] = {}
    if file.exists():
        with np.load(file) as stored:
            known = dict(zip(stored["texts"].tolist(), stored["embeddings"], strict=True))
    missing = sorted({text for text in texts if len(text) <= KEEP_CHARACTERS and text not in known}, key=len)
    if missing:
        base = base_directory()
        made = Tokenizer.from_file(str(base / "tokenizer.json"))
        made.no_padding()
        kept = window(made, max_tokens=256)
        where = device()
        reference = Student(base, labels=2, signals=1, hidden=0, dropout=0.0).to(where).eval()
        for index in tqdm(range(0, len(missing), 256), desc="references", mininterval=10):
            texts_now = missing[index : index + 256]
            with torch.no_grad(), torch.autocast(where.type, dtype=torch.bfloat16):
                inputs = _tensors(texts_now, made, kept, where)
                embeddings = reference(*inputs).embedding.float().cpu().numpy()
            known |= dict(zip(texts_now, embeddings, strict=True))
        np.savez(file, texts=np.array(list(known)), embeddings=np.stack(list(known.values())))
    zeros = np.zeros(384, dtype=np.float32)
    return torch.from_numpy(np.stack([known.get(text, zeros) for text in texts]))


def _augmented(example: Example, recipe: Recipe, rng: random.Random, ordinary: list[str]) -> str:
    text = example.text
    padded = "injection" in example.signals and example.intent is None and bool(ordinary)
    if padded and rng.random() < PADDING_ATTACKS:
        filler = " ".join(rng.choice(ordinary) for _ in range(rng.randint(1, 3)))
        if rng.random() < 0.5:
            words = filler.split()
            rng.shuffle(words)
            filler = " ".join(words[: rng.randint(1, 15)])
        text = f"{filler}\n{text}" if rng.random() < 0.3 else f"{text} {filler}"
    return noisy(text, rng) if rng.random() < recipe.noise else text


def _plan(examples: Sequence[Example], recipe: Recipe) -> list[list[int]]:
    """The batches of the whole run: rows of like length together, to waste little on padding."""
    rng = random.Random(recipe.seed)  # noqa: S311
    plan: list[list[int]] = []
    for epoch in range(math.ceil(recipe.epochs)):
        rows = []
        for row, example in enumerate(examples):
            kind = example.source.split(":")[0]
            drawn = recipe.shares.get(example.source, recipe.shares.get(kind, 1.0))
            if drawn >= 1.0 or share(f"{epoch % max(1, round(1 / drawn))} {example.text}") < drawn:
                rows += [row] * recipe.repeats.get(example.source, recipe.repeats.get(kind, 1))
        rng.shuffle(rows)
        span = recipe.batch * BUCKET_BATCHES
        batches = []
        for first in range(0, len(rows), span):
            bucket = sorted(rows[first : first + span], key=lambda row: min(len(examples[row].text), 600))
            batches += [bucket[at : at + recipe.batch] for at in range(0, len(bucket), recipe.batch)]
        rng.shuffle(batches)
        plan += (
            batches if epoch + 1 <= recipe.epochs else batches[: round(len(batches) * (recipe.epochs % 1))]
        )
    return plan


def _optimizer(
    student: Student, recipe: Recipe, *, steps: int
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.LambdaLR]:
    encoder = [one for one in student.encoder.parameters() if one.requires_grad]
    heads = [one for name, one in student.named_parameters() if not name.startswith("encoder.")]
    optimizer = torch.optim.AdamW(
        [{"params": encoder, "lr": recipe.encoder_rate}, {"params": heads, "lr": recipe.head_rate}],
        weight_decay=0.01,
        fused=True,
    )
    rise = max(1, round(recipe.warm_up * steps))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / rise) * max(0.0, (steps - step) / steps)
    )
    return optimizer, schedule


def _tensors(texts: list[str], made: Tokenizer, kept: Window, where: torch.device) -> tuple[Tensor, Tensor]:
    ids, mask = batch([token_ids(made, text, kept=kept) for text in texts])
    return ids.to(where), mask.to(where)


def _save(
    run: Path,
    step: int,
    student: Student,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    state = {"step": step, "student": student.state_dict(), "optimizer": optimizer.state_dict()}
    state["schedule"] = schedule.state_dict()
    fresh = run / "checkpoint.new"
    torch.save(state, fresh)
    fresh.replace(run / "checkpoint.pt")


def _resume(
    run: Path,
    student: Student,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    file = run / "checkpoint.pt"
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True, map_location=device())
    student.load_state_dict(state["student"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["step"])
