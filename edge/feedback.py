"""What callers say of answers, and the dropping of stored ones."""

from collections import OrderedDict
from typing import TypeVar

import msgspec

from edge.domain import Keys
from edge.error_budget import Sample
from edge.ports import ExactCache, SemanticCache
from edge.replay import entry_of
from edge.shadows import Shadows, WouldBe
from edge.telemetry import EdgeMetrics

_MOST_REMEMBERED = 10_000


class _Named(msgspec.Struct):
    id: str


class Feedback:
    """Knows which entry an answer's id belongs to.

    A replayed answer carries its entry in its id. One that came from the upstream and was stored is
    remembered for a while, in memory: after a restart its feedback is counted and drops nothing.

    A wrong one that was served for another question counts as a sample of its error budget as well. A
    right one does not: whoever complains is not a fair sample of those who are served, and only the error
    on the safe side is taken.
    """

    def __init__(
        self,
        *,
        exact: ExactCache,
        stale: ExactCache,
        semantic: SemanticCache,
        shadows: Shadows,
        metrics: EdgeMetrics,
    ) -> None:
        self._exact = exact
        self._stale = stale
        self._semantic = semantic
        self._shadows = shadows
        self._metrics = metrics
        self._recent: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._served: OrderedDict[tuple[str, str], WouldBe] = OrderedDict()

    def remember(self, keys: Keys, completion: bytes) -> None:
        """The answer was stored under these keys."""
        try:
            response_id = msgspec.json.decode(completion, type=_Named).id
        except msgspec.MsgspecError:
            return  # an answer without an id cannot be spoken of
        _remember(self._recent, (keys.scope.tenant, response_id), keys.entry)

    def served(self, hit: WouldBe) -> None:
        """The answer was given to another question than it was for."""
        _remember(self._served, (hit.namespace.tenant, hit.answer.id), hit)

    async def tell(self, tenant: str, response_id: str, *, is_right: bool) -> int:
        """Counts the verdict; how many stored entries a wrong one cost."""
        self._metrics.feedback.labels("right" if is_right else "wrong").inc()
        entry = entry_of(response_id) or self._recent.get((tenant, response_id))
        if is_right or entry is None:
            return 0
        hit = self._served.pop((tenant, entry), None)
        if hit is not None:
            await self._shadows.count(hit.namespace, Sample(score=hit.score, wrong=True))
        return await self.forget(tenant, entry=entry)

    async def forget(self, tenant: str, *, entry: str | None = None, scope: str | None = None) -> int:
        """Drop one entry, one scope, or everything of the tenant; how many entries there were."""
        exact = await self._exact.drop(tenant, entry=entry, scope=scope)
        await self._stale.drop(tenant, entry=entry, scope=scope)
        semantic = await self._semantic.drop(tenant, entry=entry, scope=scope)
        # Most entries are kept in both.
        return max(exact, semantic)


_Value = TypeVar("_Value")


def _remember(memory: OrderedDict[tuple[str, str], _Value], place: tuple[str, str], value: _Value) -> None:
    memory[place] = value
    memory.move_to_end(place)
    if len(memory) > _MOST_REMEMBERED:
        memory.popitem(last=False)
