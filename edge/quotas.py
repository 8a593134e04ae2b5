"""How much each key may ask for: requests a minute and a day, tokens a day."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from cloud.wire.answers import Documents, usage_of
from cloud.wire.errors import QuotaExceeded
from edge.domain import Principal, Quota

_MINUTE_S = 60
_DAY_S = 86_400
_BYTES_A_TOKEN = 4
_MOST_KEYS = 100_000

Kind = Literal["requests-minute", "requests-day", "tokens-day"]


class Spent(msgspec.Struct, kw_only=True):
    """What a key has used of the minute and the day (UTC) that it was last seen in."""

    minute: int = 0
    day: int = 0
    minute_requests: int = 0
    day_requests: int = 0
    day_tokens: int = 0

    def at(self, now: float) -> None:
        """Begin anew whatever is over."""
        minute, day = int(now // _MINUTE_S), int(now // _DAY_S)
        if minute != self.minute:
            self.minute, self.minute_requests = minute, 0
        if day != self.day:
            self.day, self.day_requests, self.day_tokens = day, 0, 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """One limit, what is left of it, and when it is whole again."""

    kind: Kind
    limit: int
    left: int
    resets_s: int


def allowances(quota: Quota, spent: Spent, *, now: float) -> tuple[Allowance, ...]:
    """Every limit the key has; `spent` is of now."""
    rows: tuple[tuple[Kind, int | None, int, int], ...] = (
        ("requests-minute", quota.requests_per_minute, spent.minute_requests, _MINUTE_S),
        ("requests-day", quota.requests_per_day, spent.day_requests, _DAY_S),
        ("tokens-day", quota.tokens_per_day, spent.day_tokens, _DAY_S),
    )
    return tuple(
        Allowance(kind=kind, limit=limit, left=max(0, limit - used), resets_s=int(every - now % every) + 1)
        for kind, limit, used, every in rows
        if limit is not None
    )


def told(found: tuple[Allowance, ...]) -> dict[str, str]:
    """`x-ratelimit-*` under OpenAI's names: of several limits on requests, the one nearest its end."""
    headers: dict[str, str] = {}
    for unit in ("requests", "tokens"):
        of_unit = [one for one in found if one.kind.startswith(unit)]
        if of_unit:
            nearest = min(of_unit, key=lambda one: one.left)
            headers[f"x-ratelimit-limit-{unit}"] = str(nearest.limit)
            headers[f"x-ratelimit-remaining-{unit}"] = str(nearest.left)
            headers[f"x-ratelimit-reset-{unit}"] = f"{nearest.resets_s}s"
    return headers


@dataclass(kw_only=True)
class Quotas:
    """Counts of the keys that have limits, in memory; a restart takes up from the last save."""

    spent: dict[str, Spent] = field(default_factory=dict)
    clock: Callable[[], float] = time.time

    def admit(self, principal: Principal) -> Mapping[str, str]:
        """Count a request; the headers that tell what is left. Raises QuotaExceeded."""
        quota = principal.quota
        if quota is None:
            return {}
        now = self.clock()
        spent = self._of(principal.key_id, now)
        found = allowances(quota, spent, now=now)
        empty = [one for one in found if one.left == 0]
        if empty:
            last = max(empty, key=lambda one: one.resets_s)
            unit, _, span = last.kind.partition("-")
            raise QuotaExceeded(
                f"this key's {last.limit} {unit} a {span} are used up",
                retry_after_s=last.resets_s,
                headers=told(found),
            )
        spent.minute_requests += 1
        spent.day_requests += 1
        return told(allowances(quota, spent, now=now))

    def metered(self, documents: Documents, principal: Principal, *, body_bytes: int) -> Documents:
        """The same documents; their tokens are counted when they end, well or not."""
        if principal.quota is None or principal.quota.tokens_per_day is None:
            return documents
        return _Metered(
            documents,
            least_input=body_bytes // _BYTES_A_TOKEN,
            count=lambda tokens: self._count(principal.key_id, tokens),
        )

    def _count(self, key_id: str, tokens: int) -> None:
        self._of(key_id, self.clock()).day_tokens += tokens

    def _of(self, key_id: str, now: float) -> Spent:
        spent = self.spent.get(key_id)
        if spent is None:
            if len(self.spent) >= _MOST_KEYS:
                del self.spent[next(iter(self.spent))]
            spent = self.spent[key_id] = Spent()
        spent.at(now)
        return spent


class _Metered:
    """Documents on their way to the client. Without token counts of the upstream's they are estimated."""

    def __init__(self, documents: Documents, *, least_input: int, count: Callable[[int], None]) -> None:
        self._documents = documents
        self._estimate = least_input
        self._reported: int | None = None
        self._count: Callable[[int], None] | None = count

    def __aiter__(self) -> "_Metered":
        return self

    async def __anext__(self) -> bytes:
        document = await anext(self._documents)
        self._estimate += 1  # a chunk holds about a token
        usage = usage_of(document)
        if usage is not None:
            self._reported = usage.prompt_tokens + usage.completion_tokens
        return document

    async def aclose(self) -> None:
        count, self._count = self._count, None
        if count is not None:
            count(self._estimate if self._reported is None else self._reported)
        await self._documents.aclose()
