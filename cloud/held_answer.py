"""An answer that one process alone may make: the right to it is renewed meanwhile, and its loss ends it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from cloud.wire.answers import Documents
from cloud.wire.errors import UpstreamUnavailable, WaysideError

T = TypeVar("T")
_RENEWED_AT = 0.25
"""Of a term."""
_OURS = 0.8
"""Of a term: whoever waits for its end may have a clock that is ahead."""


class Hold:
    """The right to do something, for a term at a time."""

    def __init__(
        self, renew: Callable[[], Awaitable[bool]], *, since: float, term_s: float, until: float
    ) -> None:
        """`renew` tells whether it still is ours. `since` and `until`, when no more is renewed: loop time."""
        self._renew = renew
        self._term_s = term_s
        self._ends_at = since + _OURS * term_s
        self._limit: asyncio.Timeout | None = None
        self._renewal = asyncio.create_task(self._go_on(until))

    async def during(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` gives; UpstreamUnavailable, with the work cancelled, when the right is gone."""
        if asyncio.get_running_loop().time() >= self._ends_at:
            raise lost()
        limit = asyncio.timeout_at(self._ends_at)
        try:
            async with limit:
                self._limit = limit
                return await work()
        except TimeoutError as error:
            if limit.expired():
                raise lost() from error
            raise
        finally:
            self._limit = None

    def close(self) -> None:
        """It is needed no longer."""
        self._renewal.cancel()

    async def _go_on(self, until: float) -> None:
        clock = asyncio.get_running_loop().time
        while clock() < until:
            await asyncio.sleep(_RENEWED_AT * self._term_s)
            asked_at = clock()
            try:
                is_ours = await self._renew()
            except WaysideError:
                continue  # a database that is away may be back before the term ends
            self._end_at(asked_at + _OURS * self._term_s if is_ours else asked_at)
            if not is_ours:
                return

    def _end_at(self, moment: float) -> None:
        self._ends_at = moment
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(moment)


class HeldAnswer:
    """Documents around another's. The last one is handed on when all of them are kept."""

    def __init__(
        self,
        documents: Documents,
        hold: Hold,
        *,
        keep: Callable[[Sequence[bytes]], Awaitable[bool]],
        give_up: Callable[[], Awaitable[None]],
        most_bytes: int,
    ) -> None:
        """`keep` is awaited with a whole answer, and tells whether it was still ours to give; else `give_up`.

        An answer of more than `most_bytes` is handed on, but not kept.
        """
        self._documents = documents
        self._hold = hold
        self._keep = keep
        self._give_up = give_up
        self._most_bytes = most_bytes
        self._told: list[bytes] = []
        self._size = 0
        self._last: bytes | None = None
        self._is_over = False

    def __aiter__(self) -> "HeldAnswer":
        return self

    async def __anext__(self) -> bytes:
        if self._is_over:
            raise StopAsyncIteration
        try:
            while (document := await self._next()) is not None:
                before, self._last = self._last, document
                self._note(document)
                if before is not None:
                    return before
            return await self._finished()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        await self._end(is_kept=False)

    async def _next(self) -> bytes | None:
        try:
            return await self._hold.during(self._documents.__anext__)
        except StopAsyncIteration:
            return None

    def _note(self, document: bytes) -> None:
        self._size += len(document)
        if self._size > self._most_bytes:
            self._told.clear()
        else:
            self._told.append(document)

    async def _finished(self) -> bytes:
        """The last document, once all are kept. StopAsyncIteration where there was none."""
        if self._last is None:
            raise StopAsyncIteration
        may_be_kept = self._size <= self._most_bytes
        if may_be_kept and not await self._keep(self._told):
            raise lost()
        await self._end(is_kept=may_be_kept)
        return self._last

    async def _end(self, *, is_kept: bool) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._hold.close()
        try:
            await self._documents.aclose()
        finally:
            if not is_kept:
                await given_back(self._give_up)


async def given_back(give_up: Callable[[], Awaitable[None]]) -> None:
    """Not cut short by a caller who leaves; where the database does not answer the right lapses."""
    with contextlib.suppress(WaysideError):
        await asyncio.shield(give_up())


def lost() -> UpstreamUnavailable:
    return UpstreamUnavailable("the claim of the Idempotency-Key was not renewed in time", retry_after_s=1)
