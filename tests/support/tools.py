"""What tests of tools need: a context, a recall in memory, requests that hold a table."""

import asyncio
from collections.abc import Sequence

from cloud.domain import Episode, RecallQuery, ToolContext
from cloud.wire.chat import ChatRequest, Message

SALES = """\
month,product,region,units,unit_price,revenue
January,Widget,North,10,2.50,25.00
January,Gadget,South,4,10.00,40.00
March,Widget,North,7,2.50,17.50
March,Gadget,North,3,10.00,30.00
"""


def request(*texts: str) -> ChatRequest:
    return ChatRequest(model="auto", messages=[Message(role="user", content=text) for text in texts])


def context(
    text: str | None = None, *, tenant: str = "acme", agent: str = "analysis", seconds: float = 30.0
) -> ToolContext:
    """For a tool call on behalf of `tenant` that answers a request with that text."""
    return ToolContext(
        tenant=tenant,
        agent=agent,
        deadline=asyncio.get_running_loop().time() + seconds,
        idempotency_key="run_1.step_2",
        user="ann",
        session="talk",
        run="run_1",
        request=None if text is None else request(text),
    )


class FakeRecall:
    """Long-term memory that remembers what it was asked."""

    def __init__(self, episodes: Sequence[Episode] = (), *, delay_s: float = 0.0) -> None:
        self.queries: list[RecallQuery] = []
        self._episodes = tuple(episodes)
        self._delay_s = delay_s

    async def recall(self, query: RecallQuery) -> tuple[Episode, ...]:
        self.queries.append(query)
        await asyncio.sleep(self._delay_s)
        return self._episodes
