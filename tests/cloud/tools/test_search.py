"""The tools over long-term memory."""

import pytest

from cloud.domain import Episode, RecallQuery
from cloud.tools import search
from cloud.tools.search import search_documents, search_memory
from tests.support.tools import FakeRecall, context

pytestmark = pytest.mark.anyio

RETURNS = Episode(
    id="1", text="Returns within 30 days.", source="policy.md#Returns", score=0.9, valid_from=1_700_000_000
)


async def test_passages_come_numbered_with_their_sources_as_content() -> None:
    recall = FakeRecall([RETURNS])
    result = await search_documents(recall).call({"query": "returns"}, context())
    assert result.text == "[1] source: policy.md#Returns, 2023-11-14\nReturns within 30 days."
    assert result.is_untrusted
    assert recall.queries == [
        RecallQuery(
            tenant="acme", text="returns", user="ann", session="talk", agent="analysis", documents_only=True
        )
    ]


async def test_a_model_cannot_search_on_anothers_behalf() -> None:
    recall = FakeRecall([RETURNS])
    assert (await search_memory(recall).call({"query": "x", "tenant": "other"}, context())).is_error
    assert not recall.queries


async def test_results_are_limited_in_size() -> None:
    long = Episode(id="2", text="x" * 100_000, source="s", score=1, valid_from=0)
    result = await search_memory(FakeRecall([long] * 5)).call({"query": "x", "limit": 3}, context())
    assert len(result.text) < search.MAX_RESULT_CHARACTERS + 500
    assert result.text.count("(cut)") == 3


async def test_nothing_found_and_a_slow_memory_are_said() -> None:
    nothing = await search_memory(FakeRecall()).call({"query": "x"}, context())
    assert "Nothing was found" in nothing.text
    slow = await search_memory(FakeRecall(delay_s=5)).call({"query": "x"}, context(seconds=0.05))
    assert slow.is_error
