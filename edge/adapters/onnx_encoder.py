"""The encoder port on onnxruntime: one pass a text, off the event loop."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from edge.bundle import Bundle, BundleRefused, Head, cut, read_bundle
from edge.domain import Classification, Encoding, Scored

FloatArray = npt.NDArray[np.float32]

# A word piece is rarely longer than this, so a window's worth of it from either end is all that can
# be read: a megabyte of pasted text costs no more to tokenize than a page.
CHARACTERS_A_TOKEN: Final = 24
TOP_LABELS: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What one pass gives before calibration."""

    outputs: dict[str, FloatArray]
    """ONNX output name to its row, without the batch axis."""
    truncated: bool


class Network:
    """A bundle opened for inference; safe to call from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        """Raises `BundleRefused` when the network's outputs do not have the manifest's shapes."""
        self.bundle = bundle
        self._tokenizer = _open_tokenizer(bundle)
        self._session = _open_session(bundle)
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

    def encode(self, text: str) -> Encoding:
        """One forward pass, calibrated."""
        manifest = self.bundle.manifest
        reading = self.read(text)
        single = {
            head.name: float(probabilities(head, reading.outputs[head.output])[1])
            for head in manifest.heads
            if head.width == 1
        }
        route = manifest.head("route")
        scope = manifest.scope
        logit = float(reading.outputs[scope.output][0]) * scope.scale + scope.offset
        return Encoding(
            embedding=reading.outputs[manifest.embedding.output],
            classification=Classification(
                top=_top(route.labels, probabilities(route, reading.outputs[route.output])),
                out_of_scope=_sigmoid(logit),
            ),
            complexity=single.get("complexity", 0.5),
            injection=single.get("injection", 0.0),
            needs_tools=single.get("needs_tools", 0.0),
            truncated=reading.truncated,
            bundle=self.bundle.identity,
        )

    def count(self, text: str) -> int:
        """Tokens of the whole text, without marks."""
        return len(self._ids(text))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


class OnnxEncoder:
    """Reads texts with the bundle it holds; another bundle can take its place while it runs."""

    def __init__(self, network: Network, *, threads: int = 2) -> None:
        self._network = network
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="encoder")
        self._retired_passes = 0

    @classmethod
    def open(cls, directory: Path, *, threads: int = 2) -> Self:
        """Opens and warms a bundle; raises `BundleRefused`."""
        return cls(_open_network(directory), threads=threads)

    @property
    def bundle(self) -> Bundle:
        return self._network.bundle

    @property
    def identity(self) -> str:
        return self._network.bundle.identity

    @property
    def passes(self) -> int:
        """Forward passes so far, those of replaced bundles included."""
        return self._retired_passes + self._network.passes

    async def encode(self, text: str) -> Encoding:
        # The network is read once, before the hop: a request ends on the bundle it began with.
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._network.encode, text)

    async def replace(self, directory: Path) -> Bundle:
        """Opens another bundle and serves it from then on; on `BundleRefused` the old one stays."""
        fresh = await asyncio.to_thread(_open_network, directory)
        self._retired_passes += self._network.passes
        self._network = fresh
        return fresh.bundle

    def close(self) -> None:
        """Lets running passes end and takes no more."""
        self._pool.shutdown(wait=True)


def probabilities(head: Head, logits: FloatArray) -> npt.NDArray[np.float64]:
    """Calibrated probabilities of a head's labels from its logits, shape (labels,)."""
    scaled = logits.astype(np.float64) / head.temperature
    if head.width == 1:
        second = _sigmoid(float(scaled[0]) + head.offset)
        return np.array([1.0 - second, second])
    powers = np.exp(scaled - scaled.max())
    return np.asarray(powers / powers.sum())


def _top(labels: tuple[str, ...], chances: npt.NDArray[np.float64]) -> tuple[Scored, ...]:
    order = np.argsort(-chances, kind="stable")[:TOP_LABELS]
    return tuple(Scored(label=labels[index], probability=float(chances[index])) for index in order)


def _sigmoid(value: float) -> float:
    return float(0.5 * (1.0 + np.tanh(0.5 * value)))


def _open_network(directory: Path) -> Network:
    network = Network(read_bundle(directory))
    network.encode("The first pass allocates; no request should wait for it.")
    return network


def _open_tokenizer(bundle: Bundle) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
    except Exception as error:  # tokenizers raises bare Exception for a file it cannot read
        raise BundleRefused(f"{bundle.tokenizer}: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _open_session(bundle: Bundle) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One thread without spinning: requests run beside each other, and an idle edge takes no CPU.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(bundle.model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        raise BundleRefused(f"{bundle.model}: {str(error).splitlines()[0]}") from error


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
