"""Keeps finished answers behind the client's back: listens in, stores once all is said."""

import asyncio
from collections.abc import Awaitable, Callable

from cloud.wire.answers import Documents
from edge.collect import collect_documents

Store = Callable[[bytes], Awaitable[None]]
"""What to do with a whole completion."""

_MOST_WAITING = 128
"""Answers waiting to be stored at once; more are let go, for losing one costs a call and nothing else."""


class Storing:
    """Stores answers in the background, and waits for what is under way when it is closed."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def listening(self, documents: Documents, *, streams: bool, max_bytes: int, store: Store) -> Documents:
        """The same documents; when they have ended well, their completion goes to `store`."""
        return _Listening(documents, streams=streams, max_bytes=max_bytes, finished=self._started(store))

    async def settled(self) -> None:
        """Return when nothing waits to be stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _started(self, store: Store) -> Callable[[list[bytes]], None]:
        async def collect_and_store(documents: list[bytes]) -> None:
            completion = collect_documents(documents)
            if completion is not None:
                await store(completion)

        def start(documents: list[bytes]) -> None:
            if len(self._tasks) < _MOST_WAITING:
                task = asyncio.create_task(collect_and_store(documents))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        return start


class _Listening:
    """Documents on their way to the client, remembered up to a size."""

    def __init__(
        self,
        documents: Documents,
        *,
        streams: bool,
        max_bytes: int,
        finished: Callable[[list[bytes]], None],
    ) -> None:
        self._documents = documents
        self._streams = streams
        self._left = max_bytes
        self._heard: list[bytes] | None = []
        self._finished = finished

    def __aiter__(self) -> "_Listening":
        return self

    async def __anext__(self) -> bytes:
        try:
            document = await anext(self._documents)
        except StopAsyncIteration:
            self._finish()
            raise
        except BaseException:
            self._heard = None
            raise
        if self._heard is not None:
            self._left -= len(document)
            if self._left < 0:
                self._heard = None
            else:
                self._heard.append(document)
        if not self._streams:
            self._finish()  # one document is a whole plain answer, and nobody asks for a second
        return document

    async def aclose(self) -> None:
        await self._documents.aclose()

    def _finish(self) -> None:
        heard, self._heard = self._heard, None
        if heard:
            self._finished(heard)
