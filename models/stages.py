"""Training and export of a shipped pack, as the command line names them."""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from models.assemble import assemble
from models.dataset import collect, data_directory
from models.distill import distill
from models.recipe import read_recipe
from models.rows import DataRefused
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


def distill_stage(pack: str) -> None:
    """Trains the teacher beside the plain run, writes both's labels, and trains the student on them.

    The plain run, fine-tuned in full precision, is one teacher; the other is fine-tuned without regard
    for the embedding. The student begins where the plain run ended.
    """
    runs = HERE / "runs"
    plain, teacher, student = (f"{pack}-{role}" for role in ("plain", "teacher", "student"))
    if not (runs / plain / "student.pt").exists():
        raise DataRefused(f"no finished run {plain}: `python -m models train {pack}` comes first")
    if not (runs / teacher / "student.pt").exists():
        train_stage(pack, teacher, recipe="teacher.toml", start=None, taught=False)
    labels = runs / f"{pack}-teachers.npz"
    if not labels.exists():
        distill(pack, [plain, f"{teacher}:teacher.toml"], labels)
    train_stage(pack, student, recipe="student.toml", start=plain, taught=True)


def export_stage(pack: str, run: str | None, *, out: Path | None) -> None:
    """Writes the bundle of `models/runs/RUN`; by default of the student where there is one."""
    student = HERE / "runs" / f"{pack}-student"
    plain = HERE / "runs" / f"{pack}-plain"
    directory = HERE / "runs" / run if run else student if (student / "student.pt").exists() else plain
    recipe = read_recipe(HERE / "packs" / pack / "recipe.toml")
    collection = collect(pack, data_directory())
    assemble(pack, collection, recipe, directory, out or HERE / "bundles" / pack)
