"""A bundle opened for inference: tokens in, what each output says of the text out."""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from models.reading.bundle import Bundle, BundleRefused, cut

FloatArray = npt.NDArray[np.float32]

# A word piece is rarely longer than this, so a window's worth of it from either end is all that can
# be read: a megabyte of pasted text costs no more to tokenize than a page.
CHARACTERS_A_TOKEN: Final = 24

_MOST_THREADS: Final = 4

# Its kernel takes four times what the addition and the normalization take that it stands for.
_SLOW_FUSIONS: Final = ["SkipLayerNormFusion"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one pass gives before calibration."""

    outputs: dict[str, FloatArray]
    """ONNX output name to its row, without the batch axis."""
    truncated: bool


class Reader:
    """A bundle opened for inference; safe to call from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises `BundleRefused` when the network's outputs do not have the manifest's shapes."""
        self.bundle = bundle
        self._tokenizer = open_tokenizer(bundle.tokenizer)
        self._session = open_session(bundle.model)
        self._outputs = _checked_outputs(self._session, bundle)
        self._reach = bundle.manifest.window.max_tokens * CHARACTERS_A_TOKEN
        self._lock = threading.Lock()
        self._passes = 0

    @property
    def passes(self) -> int:
        """Forward passes so far."""
        return self._passes

    def tokens(self, text: str) -> tuple[list[int], bool]:
        """Token ids the network reads, marks included, and whether the text was cut."""
        window = self.bundle.manifest.window
        if len(text) <= 2 * self._reach:
            start, end = self._ids(text), None
        else:
            start, end = self._ids(text[: self._reach]), self._ids(text[-self._reach :])
        ids = cut(start, end, characters=len(text), window=window)
        return ids, end is not None or len(start) > window.max_tokens - 2

    def read(self, text: str) -> Reading:
        """One forward pass over the text."""
        ids, truncated = self.tokens(text)
        row = np.asarray([ids], dtype=np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row)}
        arrays = self._session.run(self._outputs, feeds)
        with self._lock:
            self._passes += 1
        outputs = {name: array[0] for name, array in zip(self._outputs, arrays, strict=True)}
        return Reading(outputs=outputs, truncated=truncated)

    def embed(self, text: str) -> FloatArray:
        """The text's embedding, unit norm, shape (dimensions,)."""
        return np.asarray(self.read(text).outputs[self.bundle.manifest.embedding.output], dtype=np.float32)

    def count(self, text: str) -> int:
        """Tokens of the whole text, without marks."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def reading_threads() -> int:
    """How many texts to read at a time: a core is left to the event loop, which everything waits for.

    With a thread on every core the loop comes to run late, and what is read in time still waits for it.
    """
    return max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)) - 1))


def open_tokenizer(file: Path) -> Tokenizer:
    """Without padding and truncation; raises `BundleRefused`."""
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise BundleRefused(f"{file}: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def open_session(file: Path) -> onnxruntime.InferenceSession:
    """Raises `BundleRefused`."""
    options = onnxruntime.SessionOptions()
    # One thread without spinning: requests run beside each other, and an idle edge takes no CPU.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = False  # as fast without, and what a pass took is given back after it
    try:
        return onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW_FUSIONS
        )
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise BundleRefused(f"{file}: {str(error).splitlines()[0]}") from error


def _checked_outputs(session: onnxruntime.InferenceSession, bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    wanted = {manifest.embedding.output: manifest.embedding.dimensions, manifest.scope.output: 1}
    wanted |= {head.output: head.width for head in manifest.heads}
    found = {output.name: output.shape[-1] for output in session.get_outputs()}
    for name, width in wanted.items():
        if name not in found:
            raise BundleRefused(f"{bundle.model}: no output {name!r}")
        if found[name] != width:
            raise BundleRefused(
                f"{bundle.model}: output {name!r} is {found[name]} wide, the manifest says {width}"
            )
    inputs = {entry.name for entry in session.get_inputs()}
    if inputs != {"input_ids", "attention_mask"}:
        raise BundleRefused(f"{bundle.model}: inputs are {sorted(inputs)}")
    return list(wanted)
