"""The port Embedder on the edge's own bundle: one int8 pass a text, on one thread beside the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cloud.memory.lexical import Floats
from cloud.wire.service.settings import StartUpError
from models.reading.bundle import BundleRefused, read_bundle
from models.reading.reader import Reader


class OnnxEmbedder:
    """A bundle opened for embedding. Texts take turns, so that a question waits for one other at most."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")

    @classmethod
    async def open(cls, directory: Path) -> "OnnxEmbedder":
        """Raises StartUpError where the bundle is not one."""
        try:
            return cls(await asyncio.to_thread(lambda: Reader(read_bundle(directory))))
        except BundleRefused as error:
            raise StartUpError(f"memory_bundle: {error}") from error

    @property
    def identity(self) -> str:
        """Of the embedding space: vectors of another must not be compared with these."""
        return self._reader.bundle.identity

    @property
    def dimensions(self) -> int:
        return self._reader.bundle.manifest.embedding.dimensions

    async def embed(self, text: str) -> Floats:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._reader.embed, text)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
