"""Samples of would-be hits: the upstream is asked as well, and the two answers are compared."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from cloud.wire.errors import Overloaded, WaysideError
from edge.collect import collect_documents
from edge.domain import Query, StoredAnswer
from edge.error_budget import ErrorBudget, Namespace, Sample
from edge.guards import hard_difference
from edge.ports import Encoder, Samples, Upstream

_MOST_AT_ONCE = 8
_PATIENCE_S = 120.0
_SHORT = 300
"""Characters up to which two answers with other numbers or names say something else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WouldBe:
    """A cached answer that the verifier takes for the right one."""

    namespace: Namespace
    score: float
    answer: StoredAnswer


class Shadows:
    """Samples at the budget's rate, behind the client's back; tells the budget what came of it."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        encoder: Encoder | None,
        budget: ErrorBudget,
        samples: Samples,
        same_answer_similarity: float,
        on_sample: Callable[[str], None] = lambda _: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._upstream = upstream
        self._encoder = encoder
        self._budget = budget
        self._samples = samples
        self._same = same_answer_similarity
        self._on_sample = on_sample
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()

    def draws(self, would_be: WouldBe) -> bool:
        """Whether to sample this one."""
        return self._chance() < self._budget.rate(would_be.namespace, would_be.score)

    def ask(self, query: Query, would_be: WouldBe, store: Callable[[bytes], Awaitable[None]]) -> None:
        """Forward a query that was answered from storage; its answer is compared and given to `store`."""
        if len(self._tasks) < _MOST_AT_ONCE:
            task = asyncio.create_task(self._asked(query, would_be, store))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def compare(self, would_be: WouldBe, completion: bytes) -> None:
        """Count whether the upstream's own answer says what the cached one does."""
        cached, fresh = text_of(would_be.answer.completion), text_of(completion)
        if cached is None or fresh is None:
            self._on_sample("not comparable")
            return
        try:
            same = normalised(cached) == normalised(fresh) or await self._mean_the_same(cached, fresh)
        except Overloaded:
            self._on_sample("not comparable")  # callers come first
            return
        self._on_sample("same" if same else "different")
        await self.count(would_be.namespace, Sample(score=would_be.score, wrong=not same))

    async def count(self, namespace: Namespace, sample: Sample) -> None:
        self._budget.record(namespace, (sample,))
        await self._samples.add(namespace, sample)

    async def settled(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _asked(
        self, query: Query, would_be: WouldBe, store: Callable[[bytes], Awaitable[None]]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        try:
            answer = await self._upstream.forward(replace(query, deadline=deadline))
            try:
                documents = [document async for document in answer.documents]
            finally:
                await answer.documents.aclose()
        except WaysideError:
            self._on_sample("no answer")
            return
        completion = collect_documents(documents)
        if completion is None:
            self._on_sample("not comparable")
            return
        await self.compare(would_be, completion)
        await store(completion)

    async def _mean_the_same(self, first: str, second: str) -> bool:
        short = max(len(first), len(second)) <= _SHORT
        if self._encoder is None or (short and hard_difference(first, second) is not None):
            return False
        one = await self._encoder.encode(first)
        other = await self._encoder.encode(second)
        return float(np.dot(one.embedding, other.embedding)) >= self._same


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


def text_of(completion: bytes) -> str | None:
    """What a whole plain answer says."""
    try:
        choices = msgspec.json.decode(completion, type=_Completion).choices
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return choices[0].message.content if choices else None


def normalised(text: str) -> str:
    """Without what does not change what a text says: case, white space, punctuation at its ends."""
    return " ".join(text.casefold().split()).strip(" .!?")
