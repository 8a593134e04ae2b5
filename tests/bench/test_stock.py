"""A stocked cache holds what it says, in the scope in which the bench asks."""

import asyncio
from pathlib import Path

from bench.stock import OTHER_ANSWER, other_questions, stock
from bench.systems import MODEL, TENANT
from edge.adapters.onnx_encoder import OnnxEncoder
from edge.adapters.usearch_semantic import UsearchSemantic
from edge.domain import Candidate
from edge.fingerprint import keys_of
from edge.policy import VERSION
from edge.routes import DEFAULT_FILE, read_routes
from edge.settings import EdgeSettings


def test_the_questions_are_all_different_and_not_about_passwords() -> None:
    texts = other_questions(100_000)
    assert len(set(texts)) == 100_000
    assert not any("password" in text for text in texts)
    assert other_questions(50) == texts[:50]


def test_a_stocked_question_is_found_by_a_request_with_its_text(tmp_path: Path) -> None:
    folders = {5: tmp_path / "5", 20: tmp_path / "20"}
    stock(folders, tenant=TENANT, model=MODEL)
    text = other_questions(20)[19]

    async def found_in(folder: Path) -> tuple[Candidate, ...]:
        encoder = OnnxEncoder.open(EdgeSettings().bundle_path)
        cache = UsearchSemantic(folder, min_similarity=0.99, entries_per_tenant=100)
        try:
            body = {"model": MODEL, "messages": [{"role": "user", "content": text}], "temperature": 0.2}
            policy = f"{VERSION}/{read_routes(DEFAULT_FILE).version}"
            keys = keys_of(tenant=TENANT, body=body, bundle=encoder.identity, policy=policy)
            return await cache.nearest(keys.scope, (await encoder.encode(text)).embedding, limit=1)
        finally:
            await cache.aclose()
            encoder.close()

    (candidate,) = asyncio.run(found_in(folders[20]))
    assert candidate.question == text
    assert OTHER_ANSWER.encode() in candidate.answer.completion
    assert asyncio.run(found_in(folders[5])) == ()
