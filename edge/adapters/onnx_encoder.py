"""The encoder port on onnxruntime: one pass a text, off the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from edge.domain import Classification, Encoding, Scored
from models.reading.bundle import Bundle, Head, read_bundle
from models.reading.reader import FloatArray, Reader, reading_threads

TOP_LABELS: Final = 5


class Network(Reader):
    """A bundle read with its calibration, as the edge decides by it."""

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


class OnnxEncoder:
    """Reads texts with the bundle it holds; another bundle can take its place while it runs."""

    def __init__(self, network: Network, *, threads: int) -> None:
        self._network = network
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="encoder")
        self._retired_passes = 0

    @classmethod
    def open(cls, directory: Path, *, threads: int | None = None) -> Self:
        """Opens and warms a bundle; raises `BundleRefused`."""
        return cls(_open_network(directory), threads=threads or reading_threads())

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
