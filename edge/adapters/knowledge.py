"""The operator's answers in memory, scanned by similarity, for the tenants they are meant for."""

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edge.adapters.partition import Found, Matrix, Scan
from edge.domain import Candidate, StoredAnswer, Vector
from edge.known import Known
from edge.ports import Encoder

_LOOK_FURTHER = 4
_FOR_EVER = 10.0**11


@dataclass(frozen=True, kw_only=True, slots=True)
class _Variant:
    question: str
    answer: StoredAnswer


class ScannedKnowledge:
    """Every variant of every question. A few thousand are looked at in well under a millisecond."""

    def __init__(
        self,
        known: Sequence[Known],
        vectors: Matrix,
        *,
        min_similarity: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`vectors`: one unit row for each question of each entry, in their order."""
        self._clock = clock
        self._min_similarity = min_similarity
        self._variants: list[_Variant] = []
        rows: dict[frozenset[str] | None, list[int]] = defaultdict(list)
        for one in known:
            answer = stored_answer(one)
            for question in one.questions:
                rows[one.allowed].append(len(self._variants))
                self._variants.append(_Variant(question=question, answer=answer))
        # One scan a group of tenants: a filter after a common scan would lose a tenant's own answers.
        self._scans = {
            allowed: Scan(np.array(indexes, np.int64), np.ascontiguousarray(vectors[indexes]))
            for allowed, indexes in rows.items()
        }

    async def nearest(self, tenant: str, embedding: Vector, *, limit: int) -> tuple[Candidate, ...]:
        if not self._scans:
            return ()
        return await asyncio.to_thread(self._nearest, tenant, embedding, limit)

    def _nearest(self, tenant: str, embedding: Vector, limit: int) -> tuple[Candidate, ...]:
        found: Found = []
        for allowed, scan in self._scans.items():
            if allowed is None or tenant in allowed:
                found += scan.nearest(embedding, limit * _LOOK_FURTHER)
        now = self._clock()
        near = [
            Candidate(question=variant.question, similarity=similarity, answer=variant.answer)
            for index, similarity in sorted(found, key=lambda one: -one[1])
            if similarity >= self._min_similarity and (variant := self._variants[index]).answer.expires > now
        ]
        return tuple(near[:limit])


async def open_knowledge(
    known: Sequence[Known], encoder: Encoder, *, min_similarity: float
) -> ScannedKnowledge:
    """Reads every question with the encoder: about a second for a thousand."""
    return ScannedKnowledge(known, await embedded(known, encoder), min_similarity=min_similarity)


async def embedded(known: Sequence[Known], encoder: Encoder) -> Matrix:
    """One unit row for each question of each entry."""
    rows = [(await encoder.encode(question)).embedding for one in known for question in one.questions]
    return np.stack(rows) if rows else np.empty((0, 0), np.float32)


def stored_answer(known: Known) -> StoredAnswer:
    """The answer as a completion. Its id is its content's hash, the same after another import."""
    digest = hashlib.sha256(msgspec.json.encode([known.questions, known.answer, known.tenants]))
    completion = {
        "id": "",
        "object": "chat.completion",
        "created": int(known.written),
        "model": "knowledge",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": known.answer},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        "wayside": {"source": known.source},
    }
    return StoredAnswer(
        id=digest.hexdigest()[:43],
        completion=msgspec.json.encode(completion),
        created=known.written,
        expires=known.expires_at if known.expires_at is not None else _FOR_EVER,
    )
