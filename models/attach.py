"""Trains single-logit heads on a finished network, its encoder left as it is."""

from collections.abc import Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.dataset import Example, share
from models.network import Student
from models.readout import gather
from models.recipe import Recipe
from models.scope import Evidence

DRAWN: Final = {"complexity": 1.0, "injection": 0.3, "needs_tools": 1.0}
"""Share of the examples read."""
HIDDEN: Final = 96
DROPOUT: Final = 0.5
EPOCHS: Final = 6
BATCH: Final = 64
RATE: Final = 1e-3
DECAY: Final = 0.5
LENGTH_SHARE: Final = 0.5
"""How much size moves complexity, by spread, beside the features. Set, not fitted: on subjects it has
not seen the features alone order prompts no better than their length does."""


def attach(student: Student, examples: Sequence[Example], recipe: Recipe, signals: tuple[str, ...]) -> Recipe:
    """Fits a head for each signal to the examples that tell it; returns the recipe with all heads.

    A head the recipe has already is fitted anew. A small head on fixed features, read over the full
    window, stands in for training the encoder on thousands of long texts, which takes hours.
    """
    told = [
        one
        for one in examples
        if any(name in one.signals and share(f"attach {one.text}") < DRAWN[name] for name in signals)
    ]
    evidence = gather(student, [one.text for one in told], recipe)
    names = list(recipe.signals)
    for name in signals:
        rows = [row for row, one in enumerate(told) if name in one.signals]
        target = torch.tensor([told[row].signals[name] for row in rows])
        head, slope = _fitted(evidence, rows, target, seed=recipe.seed, by_length=name == "complexity")
        if name not in names:
            names.append(name)
            student.signals.append(head)
            student.length = _wider(student.length)
        student.signals[1 + names.index(name)] = head
        with torch.no_grad():
            student.length.weight[1 + names.index(name)] = slope
    return msgspec.structs.replace(recipe, signals=tuple(names))


def _fitted(
    evidence: Evidence, rows: list[int], target: Tensor, *, seed: int, by_length: bool
) -> tuple[nn.Module, float]:
    """A small head, and how its logit moves with the text's size."""
    torch.manual_seed(seed)
    features, size = evidence.features[rows], evidence.size[rows]
    head = nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(features.shape[1], HIDDEN),
        nn.GELU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, 1),
    )
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(rows) // BATCH + 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in tqdm(range(EPOCHS), desc="head", mininterval=10):
        for chosen in torch.split(torch.randperm(len(rows)), BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(
                head(features[chosen])[:, 0], target[chosen]
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    head.eval()
    with torch.no_grad():
        spread = head(features).std() / size.std()
    return head, LENGTH_SHARE * float(spread) if by_length else 0.0


def _wider(length: nn.Linear) -> nn.Linear:
    wider = nn.Linear(1, length.out_features + 1, bias=False)
    with torch.no_grad():
        wider.weight.zero_()
        wider.weight[:-1] = length.weight
    return wider
