"""Two models asked for one answer, the second only when the first is slow to begin: whoever begins, answers.

After Dean and Barroso, "The Tail at Scale", 2013: a few more calls take away the longest waits.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from cloud.gateway.commitment import Said
from cloud.wire.errors import WaysideError


@dataclass(kw_only=True, slots=True)
class Runner:
    """An answer that may win."""

    documents: AsyncGenerator[bytes]
    said: Said


async def first_to_begin(
    first: Runner, spare: Callable[[], Runner], said: Said, *, after_s: float, may_spend: Callable[[], bool]
) -> AsyncGenerator[bytes]:
    """The documents of whoever has one first, `said` filled with theirs; the other is closed.

    Raises the first one's error when both fail; while the other is under way, a failure is not told.
    """
    runners = [first]
    begun = [asyncio.ensure_future(anext(first.documents))]
    try:
        await asyncio.wait(begun, timeout=after_s)
        if not begun[0].done() and may_spend():
            runners.append(spare())
            begun.append(asyncio.ensure_future(anext(runners[1].documents)))
        winner = await _winner(begun)
        if winner is None:
            winner = 0  # both failed: its error is the call's
        for place, runner in enumerate(runners):
            if place != winner:
                await _closed(begun[place], runner)
        said.become(runners[winner].said)
        try:
            document = await begun[winner]
        except StopAsyncIteration:
            return
        yield document
        async for document in runners[winner].documents:
            yield document
    finally:
        for task, runner in zip(begun, runners, strict=True):
            await _closed(task, runner)


async def _winner(begun: "Sequence[asyncio.Future[bytes]]") -> int | None:
    """The place of the first that begins; None when none does."""
    waiting = set(begun)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in begun:
            if task in done and not isinstance(task.exception(), WaysideError):
                return begun.index(task)
    return None


async def _closed(task: "asyncio.Future[bytes]", runner: Runner) -> None:
    if not task.done():
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await runner.documents.aclose()
