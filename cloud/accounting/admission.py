"""Counts a tenant's requests, and tells each how much is left: OpenAI's `x-ratelimit-*` headers."""

from collections.abc import Mapping
from dataclasses import replace

from cloud.accounting.budget import BudgetsFile
from cloud.domain import Answer, Call
from cloud.ports import Answering, Ledger


class Admission:
    """An Answering around another, for tenants with a budget. Raises QuotaExceeded."""

    def __init__(self, *, inner: Answering, ledger: Ledger, budgets: BudgetsFile) -> None:
        self._inner = inner
        self._ledger = ledger
        self._budgets = budgets

    async def answer(self, call: Call) -> Answer:
        budget = self._budgets.of(call.tenant)
        if not budget.periods:
            return await self._inner.answer(call)
        headers: Mapping[str, str] = await self._ledger.admit(call.tenant, budget)
        answer = await self._inner.answer(call)
        return replace(answer, headers={**headers, **answer.headers})
