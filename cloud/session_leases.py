"""One turn at a time per session: waits for it or refuses, keeps the lease alive meanwhile."""

import asyncio
import contextlib
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cloud.domain_sessions import Lease, NewTurn
from cloud.ports import SessionWriter
from cloud.wire.errors import SessionConflict, WaysideError

Conflict = Literal["wait", "refuse"]

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.25


@dataclass(kw_only=True, slots=True)
class _Place:
    """Where this process's turns of one session queue up, so that only the first asks the database."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


@dataclass(kw_only=True, slots=True)
class _Held:
    place: _Place
    renewal: "asyncio.Task[None]"


class Leases:
    """A SessionWriter's leases, as a process with many requests takes them."""

    def __init__(self, writer: SessionWriter, *, conflict: Conflict, wait_s: float, term_s: float) -> None:
        """`term_s`: how long the writer's leases last; `wait_s`: how long a turn waits for its own."""
        self._writer = writer
        self._conflict = conflict
        self._wait_s = wait_s
        self._term_s = term_s
        self._places: dict[tuple[str, str], _Place] = {}
        self._held: dict[str, _Held] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    async def take(self, tenant: str, session: str, *, user: str | None, deadline: float) -> Lease:
        """The session's lease. Raises SessionConflict when it is not to be had in time."""
        place = self._places.setdefault((tenant, session), _Place())
        place.users += 1
        try:
            if self._conflict == "refuse" and place.lock.locked():
                raise _conflict(session)
            give_up = min(deadline, asyncio.get_running_loop().time() + self._wait_s)
            try:
                async with asyncio.timeout_at(give_up):
                    await place.lock.acquire()
            except TimeoutError:
                raise _conflict(session) from None
            try:
                lease = await self._take(tenant, session, user, give_up)
            except BaseException:
                place.lock.release()
                raise
        except BaseException:
            self._leave(tenant, session, place)
            raise
        self._held[lease.holder] = _Held(place=place, renewal=self._start(self._renew(lease)))
        return lease

    async def append(
        self,
        lease: Lease,
        turns: Sequence[NewTurn],
        *,
        user: str | None,
        prompt_tokens: int,
        limit_tokens: int,
    ) -> int:
        """The writer's `append`; once begun it is not cut short by a caller who leaves."""
        task = self._start(
            self._writer.append(
                lease, turns, user=user, prompt_tokens=prompt_tokens, limit_tokens=limit_tokens
            )
        )
        last: int = await asyncio.shield(task)
        self._let_go(lease)
        return last

    async def release(self, lease: Lease) -> None:
        """Give it back with nothing appended. Should the database not answer, the lease lapses."""
        if lease.holder in self._held:
            await asyncio.shield(self._start(self._release(lease)))

    async def close(self) -> None:
        """Wait for what is being given back."""
        for held in self._held.values():
            held.renewal.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, tenant: str, session: str, user: str | None, give_up: float) -> Lease:
        pause_s = _FIRST_PAUSE_S
        while True:
            # Not to be cut off between the database's yes and ours: the lease would be nobody's.
            task = self._start(self._writer.take(tenant, session, user=user))
            try:
                lease: Lease | None = await asyncio.shield(task)
            except asyncio.CancelledError:
                task.add_done_callback(self._return_unused)
                raise
            if lease is not None:
                return lease
            left_s = give_up - asyncio.get_running_loop().time()
            if self._conflict == "refuse" or left_s <= 0:
                raise _conflict(session)
            await asyncio.sleep(min(left_s, pause_s * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    def _return_unused(self, task: "asyncio.Task[Lease | None]") -> None:
        if not task.cancelled() and task.exception() is None and (lease := task.result()) is not None:
            self._start(self._give_back(lease))

    async def _release(self, lease: Lease) -> None:
        try:
            await self._give_back(lease)
        finally:
            self._let_go(lease)

    async def _give_back(self, lease: Lease) -> None:
        with contextlib.suppress(WaysideError):
            await self._writer.release(lease)

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._term_s / 3)
            with contextlib.suppress(WaysideError):
                if not await self._writer.renew(lease):
                    return  # lost: the append will say so

    def _let_go(self, lease: Lease) -> None:
        held = self._held.pop(lease.holder, None)
        if held is not None:
            held.renewal.cancel()
            held.place.lock.release()
            self._leave(lease.tenant, lease.session, held.place)

    def _leave(self, tenant: str, session: str, place: _Place) -> None:
        place.users -= 1
        if place.users == 0:
            self._places.pop((tenant, session), None)

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _conflict(session: str) -> SessionConflict:
    return SessionConflict(f"another turn of the session `{session}` is under way", retry_after_s=1)
