"""Trains further single-logit heads on a finished network, its encoder left as it is."""

from collections.abc import Sequence
from typing import Final

import msgspec
import torch
from torch import Tensor, nn

from models.dataset import Example, share
from models.network import Student
from models.readout import gather
from models.recipe import Recipe

RIDGE: Final = {"complexity": 3e-2, "injection": 1e-3, "needs_tools": 1e-2}

DRAWN: Final = 0.4
"""Share of the examples read: a linear head needs no more."""


def attach(student: Student, examples: Sequence[Example], recipe: Recipe, signals: tuple[str, ...]) -> Recipe:
    """Appends a linear head for each signal, fitted to the examples that tell it; returns the new recipe."""
    told = [
        one
        for one in examples
        if any(name in one.signals for name in signals) and share(f"attach {one.text}") < DRAWN
    ]
    features = gather(student, [one.text for one in told], recipe).features
    for name in signals:
        rows = [row for row, one in enumerate(told) if name in one.signals]
        target = torch.tensor([told[row].signals[name] for row in rows])
        student.signals.append(_logistic(features[rows], target, ridge=RIDGE[name]))
    return msgspec.structs.replace(recipe, signals=(*recipe.signals, *signals))


def _logistic(features: Tensor, target: Tensor, *, ridge: float) -> nn.Module:
    head = nn.Linear(features.shape[1], 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = nn.functional.binary_cross_entropy_with_logits(head(features)[:, 0], target)
        total = error + ridge * (head.weight**2).sum()
        total.backward()
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return nn.Sequential(nn.Identity(), head)

