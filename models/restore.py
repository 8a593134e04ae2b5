"""Bends a trained network's embedding back to the base encoder's, by least squares."""

from pathlib import Path
from typing import Final

import torch

from models.dataset import Collection, share
from models.network import Student
from models.readout import gather
from models.recipe import Recipe
from models.train import references

RIDGE: Final = 1e-3
MOST_TEXTS: Final = 8000


def restore(student: Student, collection: Collection, recipe: Recipe, run: Path) -> float:
    """Refits the embedding's linear map on training texts; returns the mean cosine on validation texts.

    Retrieval stays what the base encoder made it, whatever the heads did to the layers below: the
    targets are the base's own embeddings, so no pair or similarity label is used.
    """
    texts = {part: _texts(part, collection, run) for part in ("train", "validation")}
    pooled = gather(student, texts["train"][0], recipe).pooled
    table = torch.cat([pooled, torch.ones(len(pooled), 1)], dim=1).double()
    moments = table.T @ table / len(table)
    ridge = RIDGE * moments.diagonal().mean() * torch.eye(table.shape[1], dtype=torch.float64)
    target = texts["train"][1].double()
    solved = torch.linalg.solve(moments + ridge, table.T @ target / len(table)).float()
    with torch.no_grad():
        student.restore.weight.copy_(solved[:-1].T)
        student.restore.bias.copy_(solved[-1])
    seen = gather(student, texts["validation"][0], recipe).embedding
    return float((seen * texts["validation"][1]).sum(1).mean())


def _texts(part: str, collection: Collection, run: Path) -> tuple[list[str], torch.Tensor]:
    examples = collection.train if part == "train" else collection.validation
    drawn = sorted({one.text for one in examples}, key=lambda text: share(f"restore {text}"))
    texts = drawn[: MOST_TEXTS if part == "train" else MOST_TEXTS // 10]
    reference = references(texts, run)
    known = reference.abs().sum(1) > 0
    return [text for text, kept in zip(texts, known.tolist(), strict=True) if kept], reference[known]
