"""Answers by their callers' keys, in one database: who works on one, and what came of it."""

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from cloud.adapters.database import Database
from cloud.adapters.processes import Processes
from cloud.adapters.sql import counted, rows
from cloud.idempotency import Claim, Claimed, Kept, Taken
from cloud.wire.errors import InvalidRequest


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of an export."""

    kind: Literal["idempotent_answer"]
    key: str
    body_hash: str
    documents: list[str]
    headers: dict[str, str]
    expires_at: float


class SqlIdempotency:
    """The ports IdempotentAnswers and Erasable."""

    kinds: frozenset[str] = frozenset({"idempotent_answer"})

    def __init__(
        self,
        database: Database,
        processes: Processes,
        *,
        ttl_s: float,
        term_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`term_s`: how long a claim holds that nobody renews, unless its process is seen to have died."""
        self._database = database
        self._processes = processes
        self._ttl_s = ttl_s
        self._term_s = term_s
        self._clock = clock

    async def claim(self, tenant: str, key: str, body_hash: str, *, user: str | None) -> Claim:
        now = self._clock()
        claimed = Claimed(holder=uuid.uuid4().hex, term_s=self._term_s)
        named = {"t": tenant, "k": key}
        held = {"holder": claimed.holder, "process": self._processes.name, "until": now + self._term_s}
        async with self._database.writing() as connection:
            await counted(
                connection,
                "DELETE FROM idempotent_answers WHERE expires_at < :now AND held_until < :now",
                now=now,
            )
            made = await counted(
                connection,
                "INSERT INTO idempotent_answers (tenant, idempotency_key, body_hash, user_name, holder, "
                "process, held_until, expires_at) "
                "VALUES (:t, :k, :h, :u, :holder, :process, :until, :expires) "
                "ON CONFLICT (tenant, idempotency_key) DO NOTHING",
                **named,
                **held,
                h=body_hash,
                u=user,
                expires=now + self._ttl_s,
            )
            if made:
                return claimed
            found = await rows(
                connection,
                "SELECT body_hash, documents, headers, holder, process, held_until FROM idempotent_answers "
                "WHERE tenant = :t AND idempotency_key = :k",
                **named,
            )
            if not found:  # it was given back this moment
                return Taken(by_other_request=False)
            row = found[0]
            if row["body_hash"] != body_hash:
                return Taken(by_other_request=True)
            if row["documents"] is not None:
                documents = msgspec.json.decode(row["documents"], type=list[str])
                headers = msgspec.json.decode(row["headers"], type=dict[str, str])
                return Kept(documents=tuple(one.encode() for one in documents), headers=headers)
            if row["held_until"] > now and self._processes.is_alive(row["process"]) is not False:
                return Taken(by_other_request=False)
            # Of many who see that it is free one gets it; nor does whoever renewed it meanwhile lose it.
            taken = await counted(
                connection,
                "UPDATE idempotent_answers SET holder = :holder, process = :process, held_until = :until "
                "WHERE tenant = :t AND idempotency_key = :k AND holder = :was AND held_until = :lapsing "
                "AND documents IS NULL",
                **named,
                **held,
                was=row["holder"],
                lapsing=row["held_until"],
            )
            return claimed if taken else Taken(by_other_request=False)

    async def renew(self, tenant: str, key: str, holder: str) -> bool:
        async with self._database.writing() as connection:
            renewed = await counted(
                connection,
                "UPDATE idempotent_answers SET held_until = :until "
                "WHERE tenant = :t AND idempotency_key = :k AND holder = :holder AND documents IS NULL",
                until=self._clock() + self._term_s,
                t=tenant,
                k=key,
                holder=holder,
            )
        return renewed > 0

    async def keep(
        self, tenant: str, key: str, holder: str, documents: Sequence[bytes], headers: Mapping[str, str]
    ) -> bool:
        async with self._database.writing() as connection:
            kept = await counted(
                connection,
                "UPDATE idempotent_answers SET documents = :documents, headers = :headers, held_until = 0 "
                "WHERE tenant = :t AND idempotency_key = :k AND holder = :holder",
                documents=msgspec.json.encode([one.decode() for one in documents]),
                headers=msgspec.json.encode(dict(headers)),
                t=tenant,
                k=key,
                holder=holder,
            )
        return kept > 0

    async def release(self, tenant: str, key: str, holder: str) -> None:
        async with self._database.writing() as connection:
            await counted(
                connection,
                "DELETE FROM idempotent_answers WHERE tenant = :t AND idempotency_key = :k "
                "AND holder = :holder AND documents IS NULL",
                t=tenant,
                k=key,
                holder=holder,
            )

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        async with self._database.writing() as connection:
            gone = await counted(
                connection,
                "DELETE FROM idempotent_answers WHERE tenant = :t AND user_name = :u",
                t=tenant,
                u=user,
            )
        return {"idempotent_answers": gone}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                "SELECT idempotency_key, body_hash, documents, headers, expires_at FROM idempotent_answers "
                "WHERE tenant = :t AND user_name = :u AND documents IS NOT NULL ORDER BY idempotency_key",
                t=tenant,
                u=user,
            )
        for row in found:
            yield {
                "kind": "idempotent_answer",
                "key": row["idempotency_key"],
                "body_hash": row["body_hash"],
                "documents": msgspec.json.decode(row["documents"]),
                "headers": msgspec.json.decode(row["headers"]),
                "expires_at": row["expires_at"],
            }

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """The port's `restore`. A key that is in use already stays as it is."""
        try:
            answers = [msgspec.convert(record, _Record) for record in records]
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"not a kept answer as an export gives it: {error}") from error
        kept = 0
        async with self._database.writing() as connection:
            for answer in answers:
                kept += await counted(
                    connection,
                    "INSERT INTO idempotent_answers (tenant, idempotency_key, body_hash, user_name, holder, "
                    "held_until, expires_at, documents, headers) VALUES (:t, :k, :h, :u, '', 0, :expires, "
                    ":documents, :headers) ON CONFLICT (tenant, idempotency_key) DO NOTHING",
                    t=tenant,
                    k=answer.key,
                    h=answer.body_hash,
                    u=user,
                    expires=answer.expires_at,
                    documents=msgspec.json.encode(answer.documents),
                    headers=msgspec.json.encode(answer.headers),
                )
        return kept
