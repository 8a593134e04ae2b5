"""How a pack is trained: every number of a run in one value."""

import tomllib
from pathlib import Path

import msgspec


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training run. Two runs of one recipe on one machine give the same weights."""

    seed: int = 0
    epochs: float = 8.0
    batch: int = 32
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    warm_up: float = 0.05
    """Share of all steps over which the learning rate rises."""
    frozen_layers: int = 0
    """Transformer layers, from the lowest, that keep the base encoder's weights."""
    dropout: float = 0.2
    label_smoothing: float = 0.1
    keep: float = 5.0
    """Weight of one minus the cosine to the base encoder's embedding."""
    noise: float = 0.15
    """Share of texts given typing noise."""
    max_tokens: int = 128
    """The window the edge reads."""
    train_tokens: int = 128
    """The window in training: a narrower one costs less and changes little, both ends being kept."""
    weights: dict[str, float] = {}
    """Loss weight of each single-logit head; those left out weigh 1."""
    shares: dict[str, float] = {}
    """Share of a source's rows drawn each epoch, by its name or first word; others are all drawn."""
    repeats: dict[str, int] = {}
    """How often a source's rows stand in each epoch."""
    hidden: int = 0
    """Width of the heads' hidden layer; 0 makes them linear."""
    signals: tuple[str, ...] = ()
    """Single-logit heads beside the route and out-of-scope ones."""
    temperature: float = 2.0
    """Softens the teachers' labels."""
    teaching: float = 0.7
    """Share of the route loss that comes from the teachers, where there are any."""
    ensemble: int = 1
    """Networks trained by this recipe, each from a seed of its own: teachers are several."""
    attached: tuple[str, ...] = ("complexity",)
    """Signal heads fitted anew on the finished network's frozen features."""


def read_recipe(path: Path) -> Recipe:
    """The recipe in a pack's `recipe.toml`; raises msgspec's ValidationError naming the key."""
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Recipe)
