"""Runs as tasks of this process: nothing survives it. For `durable_runs = false`, and for tests."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from cloud.domain_runs import ENDED, ModelStep, Run, RunEnd, RunSpec, RunStatus, RunStep, ToolStep, run_of
from cloud.ports import RunWork
from cloud.wire.errors import NotFound

T = TypeVar("T")
_MOST_KEPT = 1000


@dataclass(kw_only=True, slots=True)
class _Kept:
    spec: RunSpec
    status: RunStatus = "in_progress"
    steps: list[RunStep] = field(default_factory=list)
    end: RunEnd | None = None
    lost_by: str = ""
    updated_at: float = field(default_factory=time.time)
    task: "asyncio.Task[None] | None" = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def shown(self) -> Run:
        return run_of(
            self.spec,
            status=self.status,
            updated_at=self.updated_at,
            steps=tuple(self.steps),
            end=self.end,
            lost_by=self.lost_by,
        )


class _Recorded:
    """The port Journal."""

    def __init__(self, kept: _Kept) -> None:
        self._kept = kept

    async def once(self, name: str, kind: type[T], work: Callable[[], Awaitable[T]]) -> T:
        began = time.time()
        done = await work()
        assert isinstance(done, ModelStep | ToolStep)
        number = len(self._kept.steps) + 1
        self._kept.updated_at = time.time()
        self._kept.steps.append(
            RunStep(number=number, started_at=began, ended_at=self._kept.updated_at, step=done)
        )
        return done


class TaskRuns:
    """The ports Runs and Erasable."""

    kinds: frozenset[str] = frozenset({"run"})

    def __init__(self, work: RunWork) -> None:
        self._work = work
        self._runs: OrderedDict[str, _Kept] = OrderedDict()

    async def start(self, spec: RunSpec) -> None:
        if spec.id in self._runs:
            return
        kept = self._runs[spec.id] = _Kept(spec=spec)
        kept.task = asyncio.create_task(self._done(kept))
        for name in [name for name, one in self._runs.items() if one.status in ENDED][: -_MOST_KEPT or None]:
            del self._runs[name]

    async def end(self, run: str) -> RunEnd:
        kept = self._runs[run]
        await kept.over.wait()
        end = kept.shown().end
        assert end is not None
        return end

    async def find(self, tenant: str, run: str) -> Run:
        return self._of(tenant, run).shown()

    async def listed(self, tenant: str, *, limit: int, user: str | None = None) -> tuple[Run, ...]:
        found = [
            msgspec.structs.replace(one.shown(), steps=())
            for one in reversed(self._runs.values())
            if one.spec.tenant == tenant and (user is None or one.spec.user == user)
        ]
        return tuple(found[:limit])

    async def cancel(self, tenant: str, run: str) -> None:
        kept = self._of(tenant, run)
        if kept.task is not None and kept.status not in ENDED:
            kept.task.cancel()
            await kept.over.wait()

    async def erase(self, tenant: str, user: str) -> Mapping[str, int]:
        mine = [one for one in self._runs.values() if one.spec.tenant == tenant and one.spec.user == user]
        for one in mine:
            await self.cancel(tenant, one.spec.id)
            del self._runs[one.spec.id]
        return {"runs": len(mine)}

    async def export(self, tenant: str, user: str) -> AsyncGenerator[Mapping[str, Any]]:
        for one in list(self._runs.values()):
            if one.spec.tenant == tenant and one.spec.user == user:
                yield {"kind": "run", **msgspec.to_builtins(one.shown())}

    async def restore(self, tenant: str, user: str, records: Sequence[Mapping[str, Any]]) -> int:
        """Nothing: what an import brings is history, not work to be done (`sql_run_history.py`)."""
        return 0

    async def close(self) -> None:
        tasks = [one.task for one in self._runs.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _done(self, kept: _Kept) -> None:
        try:
            kept.end, kept.status = await self._work(kept.spec, _Recorded(kept)), "completed"
        except asyncio.CancelledError:
            kept.status = "cancelled"
        except Exception as error:
            kept.status, kept.lost_by = "failed", type(error).__name__
        finally:
            kept.updated_at = time.time()
            kept.over.set()

    def _of(self, tenant: str, run: str) -> _Kept:
        kept = self._runs.get(run)
        if kept is None or kept.spec.tenant != tenant:
            raise NotFound(f"there is no run `{run}`")
        return kept
