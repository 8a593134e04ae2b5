"""Runs a trained network over texts in batches."""

from dataclasses import fields
from pathlib import Path

import torch
from tqdm import tqdm

from models.dataset import Collection
from models.network import Outputs, Student, base_directory, batch, device, token_ids, tokenizer, window
from models.recipe import Recipe
from models.scope import Evidence
from models.train import signal_names


def load_student(collection: Collection, recipe: Recipe, file: Path) -> Student:
    """A trained network, ready to read."""
    student = Student(
        base_directory(),
        labels=len(collection.labels),
        signals=len(signal_names(recipe)),
        hidden=recipe.hidden,
        dropout=recipe.dropout,
    )
    student.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return student.eval()


def gather(student: Student, texts: list[str], recipe: Recipe) -> Evidence:
    """The network's outputs over texts, in their order."""
    made = tokenizer(base_directory())
    kept = window(made, max_tokens=recipe.max_tokens)
    where = device()
    student.to(where)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = []
    for first in tqdm(range(0, len(order), 64), desc="read", mininterval=10):
        rows = [token_ids(made, texts[row], kept=kept) for row in order[first : first + 64]]
        ids, mask = batch(rows)
        with torch.no_grad(), torch.autocast(where.type, dtype=torch.bfloat16):
            parts.append(_on_cpu(student(ids.to(where), mask.to(where))))
    student.cpu()
    back = torch.empty(len(order), dtype=torch.int64)
    back[torch.tensor(order)] = torch.arange(len(order))
    return Evidence(
        route=torch.cat([part.route for part in parts])[back],
        embedding=torch.cat([part.embedding for part in parts])[back],
        features=torch.cat([part.features for part in parts])[back],
        pooled=torch.cat([part.pooled for part in parts])[back],
        size=torch.cat([part.size for part in parts])[back],
        outside=torch.cat([part.signals[:, 0] for part in parts])[back],
    )


def _on_cpu(outputs: Outputs) -> Outputs:
    values = {field.name: getattr(outputs, field.name).float().cpu() for field in fields(Outputs)}
    return Outputs(**values)
