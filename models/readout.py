"""Runs a trained network over texts in batches."""

from pathlib import Path

import torch
from tqdm import tqdm

from models.dataset import Collection
from models.network import Student, base_directory, batch, token_ids, tokenizer, window
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
    student.load_state_dict(torch.load(file, weights_only=True))
    return student.eval()


def gather(student: Student, texts: list[str], recipe: Recipe) -> Evidence:
    """The network's outputs over texts, in their order."""
    made = tokenizer(base_directory())
    kept = window(made, max_tokens=recipe.max_tokens)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    parts = []
    for first in tqdm(range(0, len(order), 64), desc="read", mininterval=10):
        rows = [token_ids(made, texts[row], kept=kept) for row in order[first : first + 64]]
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            parts.append(student(*batch(rows)))
    back = torch.empty(len(order), dtype=torch.int64)
    back[torch.tensor(order)] = torch.arange(len(order))
    return Evidence(
        route=torch.cat([part.route.float() for part in parts])[back],
        embedding=torch.cat([part.embedding.float() for part in parts])[back],
        features=torch.cat([part.features.float() for part in parts])[back],
        pooled=torch.cat([part.pooled.float() for part in parts])[back],
        size=torch.cat([part.size.float() for part in parts])[back],
        outside=torch.cat([part.signals[:, 0].float() for part in parts])[back],
    )
