"""One fake for each port of the edge: told what to say, remembering what it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from cloud.wire.answers import Ready
from cloud.wire.chat import parse
from edge.domain import (
    Answer,
    Candidate,
    Classification,
    Encoding,
    Principal,
    Query,
    Scored,
    StoredAnswer,
    Verdict,
    Verified,
)
from tests.support.upstream import completion


def query(text: str = "hi", **fields: Any) -> Query:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
    return Query(
        principal=Principal(tenant="acme", key_id="k"),
        document=parse(msgspec.json.encode(body), max_depth=64),
        deadline=float("inf"),
        passed_on={},
        request_id="req_1",
    )


def stored(text: str = "stored") -> StoredAnswer:
    return StoredAnswer(id=f"answer-{text}", completion=msgspec.json.encode(completion(text)))


def candidate(text: str = "stored", *, similarity: float = 0.9) -> Candidate:
    return Candidate(question="hello", similarity=similarity, answer=stored(text))


@dataclass(kw_only=True)
class FakeExactCache:
    answer: StoredAnswer | None = None
    asked: list[Query] = field(default_factory=list)

    async def get(self, query: Query) -> StoredAnswer | None:
        self.asked.append(query)
        return self.answer


@dataclass(kw_only=True)
class FakeEncoder:
    encoded: list[str] = field(default_factory=list)

    async def encode(self, text: str) -> Encoding:
        self.encoded.append(text)
        return Encoding(
            embedding=np.eye(1, 384, dtype=np.float32)[0],
            classification=Classification(top=(Scored(label="greeting", probability=0.9),), out_of_scope=0.1),
            complexity=0.2,
            injection=0.0,
            truncated=False,
            bundle="fake@0",
        )


@dataclass(kw_only=True)
class FakeNearest:
    """A semantic cache, or a knowledge base, with one entry or none."""

    found: Candidate | None = None
    asked: list[Encoding] = field(default_factory=list)

    async def nearest(self, query: Query, encoding: Encoding) -> Candidate | None:
        self.asked.append(encoding)
        return self.found


@dataclass(kw_only=True)
class FakeVerifier:
    """Verifies everything but the answers it has a verdict on."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    checked: list[str] = field(default_factory=list)

    async def check(self, query: Query, candidate: Candidate) -> Verdict:
        self.checked.append(candidate.answer.id)
        return self.verdicts.get(candidate.answer.id, Verified(probability=0.99))


@dataclass(kw_only=True)
class FakeUpstream:
    headers: Mapping[str, str] = field(default_factory=dict)
    forwarded: list[Query] = field(default_factory=list)

    async def forward(self, query: Query) -> Answer:
        self.forwarded.append(query)
        documents = Ready([msgspec.json.encode(completion("from upstream"))])
        return Answer(route="cloud", documents=documents, headers=self.headers)

    async def models(self, principal: Principal, request_id: str) -> bytes:
        return b'{"object":"list","data":[]}'

    async def check(self) -> None:
        """A fake is always ready."""
