"""Which agent and tier each session is with: a follow-up stays there, and may only escalate."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cloud.wire.headers import SESSION
from edge.domain import Query
from edge.routes import Routed

_MOST_REMEMBERED = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Hand:
    """Who answers: the cloud's choice where it is None."""

    agent: str | None = None
    tier: str | None = None


def kept_or_escalated(before: Hand | None, now: Hand | None, *, tiers: Sequence[str]) -> Hand:
    """The hand for a follow-up. `now` is None when the reading is unsure; `tiers`: weakest first."""
    if before is None or now is None:
        return before or now or Hand()
    return now if _rank(now, tiers) > _rank(before, tiers) else before


def _rank(hand: Hand, tiers: Sequence[str]) -> int:
    return tiers.index(hand.tier) if hand.tier in tiers else -1


class Sessions:
    """The hands of the sessions seen last, in memory: one that is forgotten is routed anew."""

    def __init__(self, tiers: Callable[[], Sequence[str]]) -> None:
        self._tiers = tiers
        self._hands: OrderedDict[tuple[str, str], Hand] = OrderedDict()

    def hand(self, query: Query, routed: Routed | None) -> Hand:
        """Who answers this query."""
        now = None
        if routed is not None and routed.is_sure:
            now = Hand(agent=routed.rule.agent, tier=routed.tier)
        session = query.passed_on.get(SESSION)
        if session is None:
            return now or Hand()
        place = (query.principal.tenant, session)
        hand = kept_or_escalated(self._hands.get(place), now, tiers=self._tiers())
        if hand != Hand():
            self._hands[place] = hand
            self._hands.move_to_end(place)
            if len(self._hands) > _MOST_REMEMBERED:
                self._hands.popitem(last=False)
        return hand
