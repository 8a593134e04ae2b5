"""Every knowledge base behaves like this: the fake and the scanned one."""

import numpy as np
import pytest

from edge.adapters.knowledge import ScannedKnowledge, stored_answer
from edge.known import Known
from edge.ports import Knowledge
from tests.ports.test_semantic_cache import direction
from tests.support.caches import FakeKnowledge

pytestmark = pytest.mark.anyio

KNOWN = [
    Known(questions=("question 1", "question 2"), answer="first"),
    Known(questions=("question 3",), answer="second", tenants=("acme",)),
    Known(questions=("question 4",), answer="third", tenants=("zeta", "acme")),
]


@pytest.fixture(params=["fake", "scanned"])
def knowledge(request: pytest.FixtureRequest) -> Knowledge:
    if request.param == "scanned":
        vectors = np.stack([direction(seed) for seed in (1, 2, 3, 4)])
        return ScannedKnowledge(KNOWN, vectors, min_similarity=0.8)
    fake = FakeKnowledge(min_similarity=0.8)
    for one in KNOWN:
        for question in one.questions:
            vector = direction(int(question.split()[1]))
            fake.known.append((one.allowed, vector, question, stored_answer(one)))
    return fake


async def asked(knowledge: Knowledge, tenant: str, seed: int) -> list[str]:
    return [one.question for one in await knowledge.nearest(tenant, direction(seed, tilt=0.1), limit=3)]


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_wording_finds_the_answer(knowledge: Knowledge, seed: int) -> None:
    (found,) = await knowledge.nearest("anyone", direction(seed), limit=3)
    assert found.question == f"question {seed}"
    assert found.answer == stored_answer(KNOWN[0])


async def test_only_the_tenants_it_is_for_find_it(knowledge: Knowledge) -> None:
    assert await asked(knowledge, "acme", 3) == ["question 3"]
    assert await asked(knowledge, "zeta", 3) == []
    assert await asked(knowledge, "zeta", 4) == ["question 4"]
    assert await asked(knowledge, "other", 4) == []


async def test_what_is_not_similar_is_not_known(knowledge: Knowledge) -> None:
    assert await asked(knowledge, "acme", 99) == []
