"""An encoder without a model: texts that share words are near, intents are given by the test."""

import hashlib
import re
from collections.abc import Mapping

import numpy as np

from edge.domain import Classification, Encoding, Scored

DIMENSIONS = 64


class FakeEncoder:
    """Each word has a random direction of its own; a text is the sum of its words."""

    identity = "fake@1"

    def __init__(self, *, intents: Mapping[str, tuple[str, float]] | None = None, injected: str = "") -> None:
        """`intents`: a word -> the intent and confidence of texts that hold it. `injected`: a word of injections."""
        self._intents = intents or {}
        self._injected = injected
        self.passes = 0

    async def encode(self, text: str) -> Encoding:
        self.passes += 1
        words = re.findall(r"\w+", text.lower()) or ["nothing"]
        embedding = np.sum([_direction(word) for word in words], axis=0)
        intent, confidence = next(
            (self._intents[word] for word in words if word in self._intents), ("faq", 0.9)
        )
        top = (
            Scored(label=intent, probability=confidence),
            Scored(label="other", probability=1 - confidence),
        )
        return Encoding(
            embedding=np.asarray(embedding / np.linalg.norm(embedding), np.float32),
            classification=Classification(top=top, out_of_scope=0.0),
            complexity=0.25,
            injection=0.9 if self._injected in words else 0.1,
            truncated=len(words) > 100,
            bundle=self.identity,
        )


def _direction(word: str) -> np.typing.NDArray[np.float64]:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS)
