"""The same `Idempotency-Key` with the same body is answered once, and told again to whoever repeats it.

After draft-ietf-httpapi-idempotency-key-header: another body under the same key is refused with 409, a
repetition that comes while the first is under way waits for it, and only whole answers are kept.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cloud.domain import Answer, Call
from cloud.domain_runs import run_id
from cloud.ports import Answering
from cloud.wire.answers import Documents, Ready
from cloud.wire.errors import IdempotencyConflict, InvalidRequest

REPLAYED = "idempotency-replayed"
MOST_KEY_CHARACTERS = 255
MOST_BYTES = 4 * 1024 * 1024
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """The answer is ours to make."""

    holder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """It was made before."""

    documents: tuple[bytes, ...]
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """Somebody is making it, or the key belongs to another request."""

    by_other_request: bool


Claim = Claimed | Kept | Taken


class IdempotentAnswers(Protocol):
    """Answers by key, for each tenant apart."""

    async def claim(self, tenant: str, key: str, body_hash: str, *, user: str | None) -> Claim: ...

    async def keep(
        self, tenant: str, key: str, holder: str, documents: Sequence[bytes], headers: Mapping[str, str]
    ) -> None:
        """Durable when this returns."""
        ...

    async def release(self, tenant: str, key: str, holder: str) -> None:
        """Nothing came of it: the key is free again."""
        ...


class Idempotent:
    """An Answering around another, for calls that carry a key."""

    def __init__(self, *, inner: Answering, kept: IdempotentAnswers) -> None:
        self._inner = inner
        self._kept = kept

    async def answer(self, call: Call) -> Answer:
        key = call.idempotency_key
        if key is None:
            return await self._inner.answer(call)
        if not 1 <= len(key) <= MOST_KEY_CHARACTERS:
            raise InvalidRequest(f"a key has 1 to {MOST_KEY_CHARACTERS} characters", param="Idempotency-Key")
        said = f"{call.session or ''}\x00{call.is_background:d}\x00".encode() + call.document.body
        body_hash = hashlib.sha256(said).hexdigest()
        while True:
            match await self._kept.claim(call.tenant, key, body_hash, user=call.user):
                case Kept(documents=documents, headers=headers):
                    return Answer(documents=Ready(documents), headers={**headers, REPLAYED: "true"})
                case Taken(by_other_request=True):
                    raise IdempotencyConflict(
                        "this key was used with another request", param="Idempotency-Key"
                    )
                case Taken():
                    if call.remaining_s() < 2 * _POLL_S:
                        raise IdempotencyConflict(
                            "the first request with this key is still being answered",
                            param="Idempotency-Key",
                            retry_after_s=1,
                        )
                    await asyncio.sleep(_POLL_S)
                case Claimed(holder=holder):
                    # Whoever comes back after a crash finds the run that was begun, and no second one.
                    run = run_id(call.tenant, call.user, key=f"{key}\x00{body_hash}")
                    return await self._made(replace(call, run=run), key, holder)

    async def _made(self, call: Call, key: str, holder: str) -> Answer:
        try:
            answer = await self._inner.answer(call)
        except BaseException:
            await asyncio.shield(self._kept.release(call.tenant, key, holder))
            raise
        documents = self._keeping(answer, call.tenant, key, holder)
        return Answer(documents=documents, headers=answer.headers)

    async def _keeping(self, answer: Answer, tenant: str, key: str, holder: str) -> AsyncGenerator[bytes]:
        """The documents, the last one held back until all are kept; nothing is kept of half an answer."""
        told: list[bytes] = []
        documents: Documents = answer.documents
        is_whole = False
        try:
            async for document in documents:
                if told:
                    yield told[-1]
                told.append(document)
            if told and sum(map(len, told)) <= MOST_BYTES:
                await self._kept.keep(tenant, key, holder, told, answer.headers)
                is_whole = True
            if told:
                yield told[-1]
        finally:
            await documents.aclose()
            if not is_whole:
                await asyncio.shield(self._kept.release(tenant, key, holder))
