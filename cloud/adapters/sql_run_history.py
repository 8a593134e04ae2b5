"""Runs with the history that imports brought: ended ones, to be read and given out again."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from cloud.adapters.database import Database
from cloud.adapters.sql import counted, paged, rows
from cloud.domain_runs import ENDED, Run, RunEnd, RunSpec
from cloud.ports import Runs
from cloud.wire.errors import InvalidRequest, NotFound

_PAGE: Final = 100


class _Record(Run, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of an export."""

    kind: Literal["run"]


class RunsWithHistory:
    """The ports Runs, over runs that are done here and imported ones, and Erasable, over the imported ones.

    An imported run is a record. It has no steps to go on with, so DBOS, whose rows are work to be done,
    does not have it.
    """

    kinds: frozenset[str] = frozenset({"run"})

    def __init__(self, inner: Runs, database: Database) -> None:
        self._inner = inner
        self._database = database

    async def start(self, spec: RunSpec) -> None:
        await self._inner.start(spec)

    async def end(self, run: str) -> RunEnd:
        return await self._inner.end(run)

    async def find(self, tenant: str, run: str) -> Run:
        try:
            return await self._inner.find(tenant, run)
        except NotFound:
            async with self._database.reading() as connection:
                found = await rows(
                    connection,
                    "SELECT document FROM imported_runs WHERE tenant = :tenant AND id = :run",
                    tenant=tenant,
                    run=run,
                )
            if not found:
                raise
            return _run(found[0]["document"])

    async def listed(self, tenant: str, *, limit: int, user: str | None = None) -> tuple[Run, ...]:
        here = await self._inner.listed(tenant, limit=limit, user=user)
        of_user = "" if user is None else "AND user_name = :user "
        async with self._database.reading() as connection:
            found = await rows(
                connection,
                f"SELECT document FROM imported_runs WHERE tenant = :tenant {of_user}"
                "ORDER BY created_at DESC, id LIMIT :limit",
                tenant=tenant,
                limit=limit,
                **({} if user is None else {"user": user}),
            )
        imported = [msgspec.structs.replace(_run(row["document"]), steps=()) for row in found]
        return tuple(sorted([*here, *imported], key=lambda run: -run.spec.created_at)[:limit])

    async def cancel(self, tenant: str, run: str) -> None:
        if (await self.find(tenant, run)).status not in ENDED:
            await self._inner.cancel(tenant, run)

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        async with self._database.writing() as connection:
            gone = await counted(
                connection,
                "DELETE FROM imported_runs WHERE tenant = :tenant AND user_name = :user",
                tenant=tenant,
                user=user,
            )
        return {"imported_runs": gone}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        """The port's `export`: the imported runs, the oldest first."""
        query = (
            "SELECT id, created_at, document FROM imported_runs WHERE tenant = :tenant AND "
            "user_name = :user AND (created_at, id) > (:created_at, :id) "
            "ORDER BY created_at, id LIMIT :limit"
        )
        start = {"created_at": float("-inf"), "id": ""}
        async for row in paged(self._database, query, start=start, tenant=tenant, user=user, limit=_PAGE):
            yield {"kind": "run", **msgspec.to_builtins(_run(row["document"]))}

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """The port's `restore`, of ended runs: one that was under way can be gone on with by nobody."""
        try:
            runs = [msgspec.convert(record, _Record) for record in records]
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"not a run as an export gives it: {error}") from error
        for run in runs:
            if run.spec.user != user:
                raise InvalidRequest(f"run `{run.spec.id}` is not of `{user}`", param="user")
        fresh = [run for run in runs if run.status in ENDED and not await self._is_here(tenant, run)]
        kept = 0
        async with self._database.writing() as connection:
            for run in fresh:
                kept += await counted(
                    connection,
                    "INSERT INTO imported_runs (tenant, id, user_name, created_at, document) VALUES "
                    "(:tenant, :id, :user, :created, :document) ON CONFLICT (tenant, id) DO NOTHING",
                    tenant=tenant,
                    id=run.spec.id,
                    user=user,
                    created=run.spec.created_at,
                    document=_document(run, tenant),
                )
        return kept

    async def drop_before(self, moment: float) -> int:
        """Forget imported runs that were begun before `moment`, Unix time in seconds; how many."""
        async with self._database.writing() as connection:
            return await counted(
                connection, "DELETE FROM imported_runs WHERE created_at < :moment", moment=moment
            )

    async def _is_here(self, tenant: str, run: Run) -> bool:
        try:
            await self._inner.find(tenant, run.spec.id)
        except NotFound:
            return False
        return True


def _document(record: _Record, tenant: str) -> str:
    """As it is kept: the importing tenant's, whosever it was."""
    values = {name: getattr(record, name) for name in Run.__struct_fields__}
    spec = msgspec.structs.replace(record.spec, tenant=tenant)
    return msgspec.json.encode(Run(**{**values, "spec": spec})).decode()


def _run(document: str) -> Run:
    return msgspec.json.decode(document, type=Run)
