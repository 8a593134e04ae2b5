"""The same `Idempotency-Key` with the same body is answered once, and told again to whoever repeats it.

After draft-ietf-httpapi-idempotency-key-header: another body under the same key is refused with 409, a
repetition that comes while the first is under way waits for it, and only whole answers are kept. Whoever
makes an answer holds a claim; a process that died has none, and one that cannot renew it stops
(`held_answer.py`).
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from cloud.domain import Answer, Call
from cloud.domain_runs import run_id
from cloud.held_answer import HeldAnswer, Hold, given_back
from cloud.ports import Answering
from cloud.wire.answers import Ready
from cloud.wire.errors import IdempotencyConflict, InvalidRequest

REPLAYED = "idempotency-replayed"
MOST_KEY_CHARACTERS = 255
MOST_BYTES = 4 * 1024 * 1024
_POLL_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """The answer is ours to make."""

    holder: str
    term_s: float
    """How long it is, unless it is renewed."""


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

    async def renew(self, tenant: str, key: str, holder: str) -> bool:
        """Another term from now; False when somebody else has the claim."""
        ...

    async def keep(
        self, tenant: str, key: str, holder: str, documents: Sequence[bytes], headers: Mapping[str, str]
    ) -> bool:
        """Durable when this returns; False, and nothing is kept, when somebody else has the claim."""
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
        clock = asyncio.get_running_loop().time
        while True:
            asked_at = clock()
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
                case Claimed() as claimed:
                    # Whoever comes back after a crash finds the run that was begun, and no second one.
                    run = run_id(call.tenant, call.user, key=f"{key}\x00{body_hash}")
                    return await self._made(replace(call, run=run), key, claimed, asked_at)

    async def _made(self, call: Call, key: str, claimed: Claimed, asked_at: float) -> Answer:
        ours = (call.tenant, key, claimed.holder)
        give_up = partial(self._kept.release, *ours)
        hold = Hold(
            partial(self._kept.renew, *ours), since=asked_at, term_s=claimed.term_s, until=call.deadline
        )
        try:
            answer = await hold.during(partial(self._inner.answer, call))
        except BaseException:
            hold.close()
            await given_back(give_up)
            raise
        documents = HeldAnswer(
            answer.documents,
            hold,
            keep=partial(self._kept.keep, *ours, headers=answer.headers),
            give_up=give_up,
            most_bytes=MOST_BYTES,
        )
        return Answer(documents=documents, headers=answer.headers)
