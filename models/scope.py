"""The out-of-scope score: route logits, distance to known texts and a trained head, in one."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.metrics import auroc
from models.network import Outputs

PROTOTYPES_A_LABEL = 3
STEPS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Network outputs over a set of texts, rows alike."""

    route: Tensor
    embedding: Tensor
    features: Tensor
    pooled: Tensor
    size: Tensor
    outside: Tensor
    """Shape (rows,): the trained out-of-scope head's logit."""


class ScopeScore(nn.Module):
    """One logit, high where no label fits: a weighted sum of four kinds of evidence.

    The energy of the route logits (Liu et al., 2020, arXiv 2010.03759), the nearest prototype by
    cosine in the embedding and in the pooled features, and a head trained on out-of-scope texts.
    """

    def __init__(self, near: Tensor, shaped: Tensor) -> None:
        """`near` (prototypes, 384) and `shaped` (prototypes, width) are unit-norm prototypes."""
        super().__init__()
        self.near = nn.Parameter(near.T.contiguous(), requires_grad=False)
        self.shaped = nn.Parameter(shaped.T.contiguous(), requires_grad=False)
        self.weigh = nn.Linear(4, 1)

    def evidence(self, outputs: Outputs | Evidence, outside: Tensor) -> Tensor:
        """Shape (batch, 4)."""
        energy = -torch.logsumexp(outputs.route.float(), dim=1)
        features = nn.functional.normalize(outputs.features.float(), dim=1)
        near = -(outputs.embedding.float() @ self.near).amax(1)
        shaped = -(features @ self.shaped).amax(1)
        return torch.stack([energy, near, shaped, outside.float()], dim=1)

    def forward(self, outputs: Outputs, outside: Tensor) -> Tensor:
        return torch.as_tensor(self.weigh(self.evidence(outputs, outside)))


def prototypes(vectors: Tensor, labels: Tensor, *, each: int, seed: int) -> Tensor:
    """Unit-norm centres of every label's vectors, `each` a label, by k-means on the sphere."""
    centres = []
    generator = torch.Generator().manual_seed(seed)
    unit = nn.functional.normalize(vectors, dim=1)
    for label in sorted(set(labels.tolist())):
        rows = unit[labels == label]
        chosen = rows[torch.randperm(len(rows), generator=generator)[:each]]
        for _ in range(10):
            nearest = (rows @ chosen.T).argmax(1)
            moved = [
                rows[nearest == index].mean(0) for index in range(len(chosen)) if (nearest == index).any()
            ]
            chosen = nn.functional.normalize(torch.stack(moved), dim=1)
        centres.append(chosen)
    return torch.cat(centres)


def fit_scope(
    known: Evidence, labels: Tensor, inside: Evidence, outside: Evidence, *, seed: int
) -> ScopeScore:
    """Prototypes from training texts, weights from validation texts in and out of scope."""
    near = prototypes(known.embedding, labels, each=PROTOTYPES_A_LABEL, seed=seed)
    shaped = prototypes(known.features, labels, each=1, seed=seed)
    score = ScopeScore(near, shaped)
    table = torch.cat([score.evidence(one, one.outside) for one in (inside, outside)])
    target = torch.cat([torch.zeros(len(inside.route)), torch.ones(len(outside.route))])
    mean, spread = table.mean(0), table.std(0).clamp_min(1e-6)
    weight, bias = _logistic((table - mean) / spread, target)
    with torch.no_grad():
        score.weigh.weight.copy_((weight / spread)[None])
        score.weigh.bias.copy_((bias - (weight * mean / spread).sum())[None])
    return score.eval()


def aurocs(score: ScopeScore, inside: Evidence, outside: Evidence) -> dict[str, float]:
    """AUROC of each kind of evidence alone and of the sum."""
    tables = [score.evidence(one, one.outside).detach() for one in (inside, outside)]
    sums = [score.weigh(table).detach().numpy()[:, 0].astype(np.float64) for table in tables]
    named = {"all": auroc(*sums)}
    for index, name in enumerate(("energy", "embedding", "features", "head")):
        named[name] = auroc(*(table[:, index].numpy().astype(np.float64) for table in tables))
    return named


def _logistic(table: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Non-negative weights by class-balanced logistic regression with a small ridge."""
    raw = torch.zeros(table.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    balance = torch.where(
        target > 0, len(target) / (2 * target.sum()), len(target) / (2 * (1 - target).sum())
    )
    optimizer = torch.optim.LBFGS([raw, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        weight = nn.functional.softplus(raw)
        error = nn.functional.binary_cross_entropy_with_logits(table @ weight + bias, target, weight=balance)
        total = error + 0.01 * (weight**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return nn.functional.softplus(raw).detach(), bias.detach()[0]
