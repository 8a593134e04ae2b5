"""The ledger on both databases: budgets hold under any number of calls at once."""

import asyncio
import time

import pytest

from cloud.adapters.database import open_database
from cloud.adapters.sql_ledger import SqlLedger
from cloud.domain_accounting import Budget, Cost
from cloud.wire.answers import Usage
from cloud.wire.errors import QuotaExceeded
from tests.support.cloud_calls import call

pytestmark = pytest.mark.anyio

NOON = 1_800_000_000.0 // 86_400 * 86_400 + 43_200
ONE = Cost(tokens=15, usd=0.001)
USED = Usage(prompt_tokens=10, completion_tokens=5)


async def one_call(ledger: SqlLedger, budget: Budget, cost: Cost = ONE) -> bool:
    try:
        reserved = await ledger.reserve("acme", budget, cost)
    except QuotaExceeded:
        return False
    await asyncio.sleep(0.005)
    await ledger.settle(reserved, call(), USED, ONE)
    return True


async def test_64_calls_at_once_do_not_overrun_a_budget_of_ten(database_url: str) -> None:
    async with open_database(database_url) as database:
        ledger = SqlLedger(database, clock=lambda: NOON)
        budget = Budget(tokens_per_day=150)
        made = sum(await asyncio.gather(*(one_call(ledger, budget) for _ in range(64))))
        assert made == 10
        assert (await ledger.left("acme", budget))["x-ratelimit-remaining-tokens"] == "0"


async def test_64_calls_over_two_processes_do_not_overrun_a_budget_of_money(database_url: str) -> None:
    async with open_database(database_url) as one, open_database(database_url) as two:
        ledgers = [SqlLedger(database, clock=lambda: NOON) for database in (one, two)]
        budget = Budget(usd_per_day=0.0101)
        made = sum(await asyncio.gather(*(one_call(ledgers[n % 2], budget) for n in range(64))))
        assert made == 10


async def test_what_was_reserved_and_not_used_can_be_spent_by_others(database_url: str) -> None:
    async with open_database(database_url) as database:
        ledger = SqlLedger(database, clock=lambda: NOON)
        budget = Budget(tokens_per_day=150)
        generous = Cost(tokens=100)
        for _ in range(4):  # 100 reserved, 15 used
            assert await one_call(ledger, budget, generous)
        assert not await one_call(ledger, budget, generous)
        assert await one_call(ledger, budget, Cost(tokens=90))


async def test_a_process_that_died_leaves_its_reservation_spent(database_url: str) -> None:
    budget = Budget(tokens_per_day=20)
    async with open_database(database_url) as database:
        await SqlLedger(database, clock=lambda: NOON).reserve("acme", budget, ONE)
    async with open_database(database_url) as database:
        assert not await one_call(SqlLedger(database, clock=lambda: NOON), budget)


async def test_requests_are_counted_a_minute_and_the_refusal_says_when_to_come_back(
    database_url: str,
) -> None:
    now = [NOON + 20]
    async with open_database(database_url) as database:
        ledger = SqlLedger(database, clock=lambda: now[0])
        budget = Budget(requests_per_minute=2)
        assert (await ledger.admit("acme", budget))["x-ratelimit-remaining-requests"] == "1"
        await ledger.admit("acme", budget)
        with pytest.raises(QuotaExceeded) as refused:
            await ledger.admit("acme", budget)
        assert refused.value.retry_after_s == 40
        assert refused.value.headers["x-ratelimit-limit-requests"] == "2"
        await ledger.admit("other", budget)  # a tenant's budget is its own
        now[0] += 40
        await ledger.admit("acme", budget)


async def test_usage_is_told_by_day_agent_and_model_also_after_a_restart(database_url: str) -> None:
    async with open_database(database_url) as database:
        ledger = SqlLedger(database, clock=lambda: NOON)
        for _ in range(3):
            assert await one_call(ledger, Budget())
        await ledger.flush()
    async with open_database(database_url) as database:
        (row,) = await SqlLedger(database, clock=lambda: NOON).usage("acme", days=1)
        assert (row["agent"], row["model"], row["calls"], row["prompt_tokens"]) == ("chat", "ours", 3, 30)
        assert row["usd"] == pytest.approx(0.003)
        assert await SqlLedger(database, clock=lambda: NOON).usage("other", days=1) == []


async def test_the_real_clock_is_used_where_none_is_given(database_url: str) -> None:
    async with open_database(database_url) as database:
        reserved = await SqlLedger(database).reserve("acme", Budget(), ONE)
        assert abs(reserved.at - time.time()) < 5
