"""Training and export of a shipped pack, as the command line names them."""

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch

from models.dataset import collect, data_directory
from models.distill import distill
from models.recipe import read_recipe
from models.rows import DataRefused
from models.train import train

HERE: Final = Path(__file__).parent


SEEDS_APART: Final = 10
"""From one network of an ensemble to the next."""


def train_stage(
    pack: str, run: str | None, *, recipe: str, start: str | None, taught: bool, member: int = 0
) -> None:
    """Trains `models/runs/RUN`, or goes on where it was broken off.

    `member` says which network of a recipe's ensemble this is: its seed is moved by so many places.
    """
    name = run or f"{pack}-plain"
    runs = HERE / "runs"
    teacher = None
    if taught:
        with np.load(runs / f"{pack}-teachers.npz") as stored:
            teacher = torch.from_numpy(stored["logits"])
    told = read_recipe(HERE / "packs" / pack / recipe)
    train(
        collect(pack, data_directory()),
        msgspec.structs.replace(told, seed=told.seed + SEEDS_APART * member),
        runs / name,
        teacher=teacher,
        start=runs / start / "student.pt" if start else None,
    )


def distill_stage(pack: str) -> None:
    """Trains the teachers beside the plain run, writes their labels, and trains the student on them.

    The plain run, fine-tuned in full precision, is one teacher; the others are fine-tuned without
    regard for the embedding, each from a seed of its own. The student begins where the plain run ended.
    """
    runs = HERE / "runs"
    plain, student = f"{pack}-plain", f"{pack}-student"
    if not (runs / plain / "student.pt").exists():
        raise DataRefused(f"no finished run {plain}: `python -m models train {pack}` comes first")
    members = range(read_recipe(HERE / "packs" / pack / "teacher.toml").ensemble)
    teachers = [f"{pack}-teacher-{member}" for member in members]
    for member, teacher in enumerate(teachers):
        if not (runs / teacher / "student.pt").exists():
            train_stage(pack, teacher, recipe="teacher.toml", start=None, taught=False, member=member)
    labels = runs / f"{pack}-teachers.npz"
    if not labels.exists():
        distill(pack, [plain, *(f"{teacher}:teacher.toml" for teacher in teachers)], labels)
    train_stage(pack, student, recipe="student.toml", start=plain, taught=True)


def export_stage(pack: str, run: str | None, *, out: Path | None) -> None:
    """Writes the bundle of `models/runs/RUN`; by default of the student where there is one."""
    from models.assemble import assemble  # brings Optimum, which a machine that only trains need not have

    student = HERE / "runs" / f"{pack}-student"
    plain = HERE / "runs" / f"{pack}-plain"
    directory = HERE / "runs" / run if run else student if (student / "student.pt").exists() else plain
    recipe = read_recipe(HERE / "packs" / pack / "recipe.toml")
    collection = collect(pack, data_directory())
    assemble(pack, collection, recipe, directory, out or HERE / "bundles" / pack)
