"""The pair-scorer port on onnxruntime: reads two questions together, off the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from edge.verifier_bundle import PairNetwork, VerifierManifest, read_verifier
from models.reading.reader import reading_threads


class OnnxVerifier:
    """Scores pairs with a verifier bundle."""

    def __init__(self, network: PairNetwork, *, threads: int) -> None:
        self._network = network
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="verifier")

    @classmethod
    def open(cls, directory: Path, *, threads: int | None = None) -> Self:
        """Opens and warms a bundle; raises BundleRefused."""
        network = PairNetwork(read_verifier(directory))
        network.probability("The first pass allocates.", "No request should wait for it.", 0.5)
        return cls(network, threads=threads or reading_threads())

    @property
    def manifest(self) -> VerifierManifest:
        return self._network.manifest

    async def probability(self, first: str, second: str, similarity: float) -> float:
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._network.probability, first, second, similarity
        )

    def close(self) -> None:
        """Lets running passes end and takes no more."""
        self._pool.shutdown(wait=True)
