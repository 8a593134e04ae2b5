"""A verifier on disk: manifest, hashes, calibration, and the network that reads two questions."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from models.reading.bundle import MANIFEST, MODEL, TOKENIZER, BundleRefused, sha256
from models.reading.reader import open_session, open_tokenizer

VERIFIER_SCHEMA: Final = 1


class CalibrationBin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Validation pairs whose probability lies from `low` up to the next bin's."""

    low: float
    equivalent: int
    other: int


class VerifierManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bundle.json` of a verifier."""

    schema_version: int
    name: str
    base: str
    max_tokens: int
    """Both questions with their marks; longer ones are never verified."""
    scale: float = 1.0
    offset: float = 0.0
    """Platt's map from the logit to a probability."""
    similarity_weight: float = 0.0
    """What the cosine of the questions' embeddings adds to the logit: two readings err in other places."""
    hopeless: float = -2.0
    """Logit of one order below which the other is not asked: no mean with it is served."""
    certain: float = 2.5
    """Logit of one order from which the other is not asked either: every mean with it is served."""
    caution: float = 0.3
    """How much less such a logit counts, since the other order might have said less."""
    threshold: float = 0.9
    """Probability from which one answer serves both."""
    strict_threshold: float = 0.95
    """The same for those who want half the wrong answers."""
    calibration: tuple[CalibrationBin, ...] = ()
    sources: dict[str, str] = {}
    """What shaped the weights, with its terms."""
    rows: dict[str, int] = {}
    metrics: dict[str, float] = {}
    files: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifierBundle:
    directory: Path
    manifest: VerifierManifest


def read_verifier(directory: Path) -> VerifierBundle:
    """Raises BundleRefused when a file is missing or is not the one that the manifest names."""
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=VerifierManifest)
        for name in (MODEL, TOKENIZER):
            if sha256(directory / name) != manifest.files.get(name):
                raise BundleRefused(f"{directory / name}: its hash is not the one in {MANIFEST}")
    except OSError as error:
        raise BundleRefused(f"{error.filename}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise BundleRefused(f"{directory / MANIFEST}: {error}") from error
    if manifest.schema_version != VERIFIER_SCHEMA:
        raise BundleRefused(
            f"{directory / MANIFEST}: schema {manifest.schema_version}, not {VERIFIER_SCHEMA}"
        )
    return VerifierBundle(directory=directory, manifest=manifest)


class PairNetwork:
    """A verifier opened for inference; safe to call from several threads."""

    def __init__(self, bundle: VerifierBundle) -> None:
        """Raises BundleRefused when the network does not read two questions into one logit."""
        self.manifest = bundle.manifest
        self._tokenizer = open_tokenizer(bundle.directory / TOKENIZER)
        self._session = open_session(bundle.directory / MODEL)
        read = {one.name for one in self._session.get_inputs()}
        given = [one.name for one in self._session.get_outputs()]
        if read != {"input_ids", "attention_mask", "token_type_ids"} or given != ["logit"]:
            raise BundleRefused(f"{bundle.directory / MODEL}: reads {sorted(read)}, gives {given}")

    def logit(self, first: str, second: str) -> float:
        """Higher is more alike; minus infinity for questions too long to be read whole.

        The mean of both orders; what one order leaves no doubt about is not read in the other.
        """
        forward = self._read(first, second)
        if forward < self.manifest.hopeless:
            return forward
        if forward >= self.manifest.certain:
            return forward - self.manifest.caution
        return (forward + self._read(second, first)) / 2

    def _read(self, first: str, second: str) -> float:
        if len(first) + len(second) > self.manifest.max_tokens * 8:
            return -math.inf
        pair = self._tokenizer.encode(first, second)
        if len(pair.ids) > self.manifest.max_tokens:
            return -math.inf
        feeds = {
            "input_ids": np.array([pair.ids], dtype=np.int64),
            "attention_mask": np.ones((1, len(pair.ids)), dtype=np.int64),
            "token_type_ids": np.array([pair.type_ids], dtype=np.int64),
        }
        return float(self._session.run(["logit"], feeds)[0][0, 0])

    def probability(self, first: str, second: str, similarity: float) -> float:
        """Calibrated probability in [0, 1] that one answer serves both; `similarity` is their cosine."""
        told = self.logit(first, second) + self.manifest.similarity_weight * similarity
        score = told * self.manifest.scale + self.manifest.offset
        return 1 / (1 + math.exp(-score)) if score > -700 else 0.0
