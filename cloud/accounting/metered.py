"""Around the gateway: what a call may cost is reserved before it, what it did cost is settled after it."""

from collections.abc import AsyncGenerator

from cloud.accounting.budget import BudgetsFile, cost, most
from cloud.domain import Call
from cloud.ports import Ledger, Provider
from cloud.wire.answers import Usage, usage_of


class Metered:
    """A Provider around another. Raises QuotaExceeded before anything is asked."""

    def __init__(self, inner: Provider, *, ledger: Ledger, budgets: BudgetsFile, usual_output: int) -> None:
        """`usual_output`: tokens reserved for an answer for which the caller set no limit."""
        self._inner = inner
        self._ledger = ledger
        self._budgets = budgets
        self._usual_output = usual_output

    async def complete(self, call: Call) -> AsyncGenerator[bytes]:
        budget = self._budgets.of(call.tenant)
        reserved = await self._ledger.reserve(
            call.tenant, budget, most(call, usual_output=self._usual_output)
        )
        usage: Usage | None = None
        written = 0
        documents = self._inner.complete(call)
        try:
            async for document in documents:
                usage = usage_of(document) or usage
                written += len(document)
                yield document
        finally:
            await documents.aclose()
            if usage is None and written:
                # It was cut, or does not count: four bytes a token, of which events are the smaller part.
                usage = Usage(prompt_tokens=len(call.document.body) // 4, completion_tokens=written // 4)
            used = usage or Usage()  # nothing was answered: nothing is owed
            await self._ledger.settle(reserved, call, used, cost(call, used))

    async def check(self) -> None:
        await self._inner.check()
