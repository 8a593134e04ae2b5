"""The slow, better fit: trains the encoder on an operator's intents too."""

from pathlib import Path
from typing import Final

from models.assemble import assemble
from models.dataset import Collection, Example, share
from models.recipe import Recipe
from models.rows import OUT_OF_SCOPE, DataRefused, IntentRow
from models.strangers import strangers
from models.train import train

VALIDATED: Final = 0.1
STEPS: Final = 3000
"""Enough for 77 intents of a hundred examples; small sets are gone over more often."""
MOST_EPOCHS: Final = 30


def finetune(rows: list[IntentRow], *, name: str, out: Path, run: Path) -> None:
    """Trains `run` (resumable) and writes the bundle `out`; needs the `models` extra."""
    examples = [_example(row) for row in rows]
    if all(one.intent is not None for one in examples):
        outside = {"out_of_scope": 1.0}
        examples += [Example(text=text, source="written", signals=outside) for text in strangers()[:300]]
    validation = [one for one in examples if share(one.text) < VALIDATED]
    labels = tuple(sorted({one.intent for one in examples if one.intent is not None}))
    if {one.intent for one in validation} - {None} == set():
        raise DataRefused("too few examples to hold any out; use the frozen fit")
    recipe = Recipe(epochs=min(MOST_EPOCHS, max(3, round(STEPS * 32 / len(examples)))), keep=5.0)
    collection = Collection(
        labels=labels, train=[one for one in examples if one not in validation], validation=validation
    )
    train(collection, recipe, run)
    assemble(name, collection, recipe, run, out)


def _example(row: IntentRow) -> Example:
    outside = row.intent == OUT_OF_SCOPE
    return Example(
        text=row.text,
        source="operator",
        intent=None if outside else row.intent,
        signals={"out_of_scope": float(outside)},
    )
