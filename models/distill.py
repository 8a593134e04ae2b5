"""Teachers' labels: the mean logits of fully fine-tuned networks over a pack's training texts."""

from pathlib import Path
from typing import Final

import numpy as np

from models.dataset import collect, data_directory
from models.readout import gather, load_student
from models.recipe import read_recipe

HERE: Final = Path(__file__).parent


def distill(pack: str, teachers: list[str], out: Path) -> None:
    """Writes `logits` (training rows, labels), zeros where a text has no intent.

    A teacher is a run's name, with the recipe it was trained by after a colon where it is not the
    pack's own. Soft labels of an ensemble teach a single network what each member is unsure of
    (Hinton et al., 2015, arXiv 1503.02531).
    """
    collection = collect(pack, data_directory())
    rows = [row for row, one in enumerate(collection.train) if one.intent is not None]
    texts = [collection.train[row].text for row in rows]
    logits = []
    for teacher in teachers:
        run, _, recipe_file = teacher.partition(":")
        recipe = read_recipe(HERE / "packs" / pack / (recipe_file or "recipe.toml"))
        student = load_student(collection, recipe, HERE / "runs" / run / "student.pt")
        logits.append(gather(student, texts, recipe).route.numpy())
    table = np.zeros((len(collection.train), len(collection.labels)), dtype=np.float32)
    table[rows] = np.mean(logits, axis=0)
    np.savez(out, logits=table)
