"""Training and export of a shipped pack, as the command line names them."""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from models.assemble import assemble
from models.dataset import collect, data_directory
from models.recipe import read_recipe
from models.train import train

HERE: Final = Path(__file__).parent


def train_stage(pack: str, run: str | None, *, recipe: str, start: str | None, taught: bool) -> None:
    """Trains `models/runs/RUN`, or goes on where it was broken off."""
    name = run or f"{pack}-plain"
    runs = HERE / "runs"
    teacher = None
    if taught:
        with np.load(runs / f"{pack}-teachers.npz") as stored:
            teacher = torch.from_numpy(stored["logits"])
    train(
        collect(pack, data_directory()),
        read_recipe(HERE / "packs" / pack / recipe),
        runs / name,
        teacher=teacher,
        start=runs / start / "student.pt" if start else None,
    )


def export_stage(pack: str, run: str | None, *, out: Path | None) -> None:
    """Writes the bundle of `models/runs/RUN`."""
    directory = HERE / "runs" / (run or f"{pack}-plain")
    recipe = read_recipe(HERE / "packs" / pack / "recipe.toml")
    collection = collect(pack, data_directory())
    assemble(pack, collection, recipe, directory, out or HERE / "bundles" / pack)
