"""What tenants spend, in one database: budgets by an update that only succeeds within them; usage by day.

What a budget depends on is written before the call and corrected after it: a process that dies in between
leaves the reservation counted as spent. Usage is gathered and written every half second; that much of it
may be lost with the process.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, rows
from cloud.domain import Call
from cloud.domain_accounting import SECONDS, Budget, Cost, Period, Reserved
from cloud.wire.answers import Usage
from cloud.wire.errors import QuotaExceeded

FLUSH_S = 0.5
_KEPT_S = 2 * SECONDS["day"]
_Key = tuple[str, int, str, str]


@dataclass(kw_only=True, slots=True)
class _Sum:
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0


class SqlLedger:
    """The port Ledger. `flush` must be called now and then, and at the end."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._gathered: defaultdict[_Key, _Sum] = defaultdict(_Sum)
        self._writing = asyncio.Lock()

    async def admit(self, tenant: str, budget: Budget) -> Mapping[str, str]:
        return await self._take(tenant, budget, requests=1, cost=Cost())

    async def reserve(self, tenant: str, budget: Budget, cost: Cost) -> Reserved:
        now = self._clock()
        if budget.periods:
            await self._take(tenant, budget, requests=0, cost=cost)
        return Reserved(tenant=tenant, budget=budget, cost=cost, at=now)

    async def settle(self, reserved: Reserved, call: Call, usage: Usage, cost: Cost) -> None:
        day = int(self._clock() // SECONDS["day"])
        of_day = self._gathered[(reserved.tenant, day, call.agent or "chat", call.model.name)]
        of_day.calls += 1
        of_day.prompt_tokens += usage.prompt_tokens
        of_day.completion_tokens += usage.completion_tokens
        of_day.usd += cost.usd
        if not reserved.budget.periods:
            return
        async with self._database.writing() as connection:
            for period in reserved.budget.periods:
                await counted(
                    connection,
                    "UPDATE spending SET tokens = tokens + :tokens, usd = usd + :usd "
                    "WHERE tenant = :tenant AND period = :period AND began = :began",
                    tokens=cost.tokens - reserved.cost.tokens,
                    usd=cost.usd - reserved.cost.usd,
                    tenant=reserved.tenant,
                    period=period,
                    began=_began(reserved.at, period),
                )

    async def usage(self, tenant: str, *, days: int) -> Sequence[Mapping[str, Any]]:
        await self.flush()
        today = int(self._clock() // SECONDS["day"])
        async with self._database.reading() as connection:
            return [
                dict(row)
                for row in await rows(
                    connection,
                    "SELECT day, agent, model, calls, prompt_tokens, completion_tokens, usd FROM daily_usage "
                    "WHERE tenant = :tenant AND day > :first ORDER BY day, agent, model",
                    tenant=tenant,
                    first=today - days,
                )
            ]

    async def left(self, tenant: str, budget: Budget) -> Mapping[str, str]:
        """The headers that say what is left, with nothing taken."""
        return await self._take(tenant, budget, requests=0, cost=Cost()) if budget.periods else {}

    async def flush(self) -> None:
        """Write what was gathered."""
        async with self._writing:
            gathered, self._gathered = self._gathered, defaultdict(_Sum)
            if not gathered:
                return
            try:
                async with self._database.writing() as connection:
                    for (tenant, day, agent, model), one in sorted(gathered.items()):
                        await counted(
                            connection,
                            "INSERT INTO daily_usage (tenant, day, agent, model, calls, prompt_tokens, "
                            "completion_tokens, usd) VALUES (:tenant, :day, :agent, :model, :calls, :read, "
                            ":written, :usd) ON CONFLICT (tenant, day, agent, model) DO UPDATE SET "
                            "calls = daily_usage.calls + :calls, "
                            "prompt_tokens = daily_usage.prompt_tokens + :read, "
                            "completion_tokens = daily_usage.completion_tokens + :written, "
                            "usd = daily_usage.usd + :usd",
                            tenant=tenant,
                            day=day,
                            agent=agent,
                            model=model,
                            calls=one.calls,
                            read=one.prompt_tokens,
                            written=one.completion_tokens,
                            usd=one.usd,
                        )
            except BaseException:
                for key, one in gathered.items():  # the next time, then
                    again = self._gathered[key]
                    again.calls += one.calls
                    again.prompt_tokens += one.prompt_tokens
                    again.completion_tokens += one.completion_tokens
                    again.usd += one.usd
                raise

    async def _take(self, tenant: str, budget: Budget, *, requests: int, cost: Cost) -> Mapping[str, str]:
        now = self._clock()
        headers: dict[str, str] = {}
        async with self._database.writing() as connection:
            for period in budget.periods:
                most_requests, most_tokens, most_usd = budget.limits(period)
                where = {"tenant": tenant, "period": period, "began": _began(now, period)}
                made = await counted(
                    connection,
                    "INSERT INTO spending (tenant, period, began, requests, tokens, usd) "
                    "VALUES (:tenant, :period, :began, 0, 0, 0) ON CONFLICT DO NOTHING",
                    **where,
                )
                if made:
                    await counted(
                        connection, "DELETE FROM spending WHERE began < :old", old=int(now) - _KEPT_S
                    )
                # A limit that is reached already stops everything; one that would be passed, this call.
                taken = await counted(
                    connection,
                    "UPDATE spending SET requests = requests + :requests, tokens = tokens + :tokens, "
                    "usd = usd + :usd WHERE tenant = :tenant AND period = :period AND began = :began "
                    "AND requests + :requests <= :most_requests "
                    "AND tokens < :most_tokens AND tokens + :tokens <= :most_tokens "
                    "AND usd < :most_usd AND usd + :usd <= :most_usd",
                    requests=requests,
                    tokens=cost.tokens,
                    usd=cost.usd,
                    most_requests=most_requests or 2**53,
                    most_tokens=most_tokens or 2**53,
                    most_usd=most_usd or 1e300,
                    **where,
                )
                (row,) = await rows(
                    connection,
                    "SELECT requests, tokens, usd FROM spending WHERE tenant = :tenant "
                    "AND period = :period AND began = :began",
                    **where,
                )
                reset_s = SECONDS[period] - int(now) % SECONDS[period]
                headers = _headers(budget, period, row, reset_s) | headers
                if not taken and (requests or cost.tokens or cost.usd):
                    raise QuotaExceeded(
                        f"the tenant's budget of this {period} is used up, or too small for this request",
                        retry_after_s=reset_s,
                        headers=_headers(budget, period, row, reset_s),
                    )
        return headers


def _headers(budget: Budget, period: Period, row: RowMapping, reset_s: int) -> dict[str, str]:
    most_requests, most_tokens, _ = budget.limits(period)
    headers: dict[str, str] = {}
    for name, most, used in (
        ("requests", most_requests, row["requests"]),
        ("tokens", most_tokens, row["tokens"]),
    ):
        if most is not None:
            headers |= {
                f"x-ratelimit-limit-{name}": str(most),
                f"x-ratelimit-remaining-{name}": str(max(0, most - used)),
                f"x-ratelimit-reset-{name}": f"{reset_s}s",
            }
    return headers


def _began(moment: float, period: Period) -> int:
    return int(moment) // SECONDS[period] * SECONDS[period]
