"""Frozen values the edge reasons about: encodings, decisions, answers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One label with its calibrated probability in [0, 1]."""

    label: str
    probability: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """What the request asks for, best label first."""

    top: tuple[Scored, ...]
    out_of_scope: float
    """Calibrated probability in [0, 1] that no label fits."""

    @property
    def intent(self) -> str:
        return self.top[0].label

    @property
    def confidence(self) -> float:
        return self.top[0].probability


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """Everything one encoder pass says about a text."""

    embedding: npt.NDArray[np.float32]
    """Shape (384,), unit norm."""
    classification: Classification
    complexity: float
    """Probability in [0, 1] that a strong model is needed."""
    injection: float
    """Probability in [0, 1] that the text tries to take over the assistant."""
    needs_tools: float = 0.0
    """Probability in [0, 1] that a good answer needs tools or several steps."""
    truncated: bool
    """The text did not fit the window; both of its ends were read."""
    bundle: str
    """Name and content hash of the bundle that produced this: embeddings of two bundles never mix."""
