"""Frozen values of runs: what is to be done, what each step gave, how it ended. All of it is JSON."""

import hashlib
import uuid
from typing import Any, Literal

import msgspec

from cloud.domain import Artifact, ToolResult
from cloud.wire import errors
from cloud.wire.answers import Usage
from cloud.wire.chat import ToolCall
from cloud.wire.errors import UpstreamRefused, WaysideError

RunStatus = Literal["queued", "in_progress", "completed", "failed", "cancelled"]
ENDED: tuple[RunStatus, ...] = ("completed", "failed", "cancelled")


class RunSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was asked for: whoever takes it up needs nothing else."""

    id: str
    tenant: str
    agent: str
    """Who takes it first."""
    model: str
    """The catalog's name of the caller's model."""
    body: str
    """The request, an OpenAI chat completion's JSON."""
    request_id: str
    created_at: float
    """Unix time, seconds; so is the next."""
    deadline_at: float
    user: str | None = None
    session: str | None = None
    is_background: bool = False
    """Nobody waits on the connection that asked for it."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of the error tree, as a record can keep it."""

    kind: str
    message: str
    status: int
    param: str | None = None
    code: str | None = None
    retry_after_s: int | None = None
    error: dict[str, Any] | None = None
    """What an upstream itself said."""


class ModelStep(msgspec.Struct, frozen=True, kw_only=True, tag="model"):
    """What a model said once."""

    agent: str
    model: str
    content: str | None = None
    tool_calls: list[ToolCall] = []
    finish_reason: str = "stop"
    usage: Usage = msgspec.field(default_factory=Usage)
    usd: float = 0.0
    stopped_by: str | None = None
    """What kept it from being asked: the run's deadline."""
    failure: Failure | None = None


class ToolStep(msgspec.Struct, frozen=True, kw_only=True, tag="tool"):
    """What a tool said."""

    agent: str
    tool: str
    result: ToolResult
    mark: str
    """Stands around a result from outside; nothing in the text can know it."""


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    agent: str
    """Who had the last word."""
    text: str = ""
    finish_reason: str = "stop"
    """The model's own, or `length` for a run that a limit ended: neither is a whole answer to be kept."""
    usage: Usage = msgspec.field(default_factory=Usage)
    usd: float = 0.0
    failure: Failure | None = None
    """Why there is no answer."""


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded step."""

    number: int
    started_at: float
    ended_at: float
    step: ModelStep | ToolStep


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it stands."""

    spec: RunSpec
    status: RunStatus
    updated_at: float
    steps: tuple[RunStep, ...] = ()
    end: RunEnd | None = None

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What its tools made, in order."""
        tools = (one.step for one in self.steps if isinstance(one.step, ToolStep))
        return tuple(artifact for step in tools for artifact in step.result.artifacts)


CANCELLED = Failure(
    kind="UpstreamUnavailable", message="the run was cancelled", status=503, code="run_cancelled"
)


def lost(message: str) -> Failure:
    """Of a run that ended by no doing of its own: its store, or a defect, gave it up."""
    return Failure(kind="InternalError", message=message, status=500, code="run_failed")


def run_of(
    spec: RunSpec,
    *,
    status: RunStatus,
    updated_at: float,
    steps: tuple[RunStep, ...] = (),
    end: RunEnd | None = None,
    lost_by: str = "",
) -> Run:
    """A run as its store recorded it: `completed` with the run's own end, which may be a failure.

    One that was cancelled or `failed` without an end gets one; `lost_by` says why it has none.
    """
    if status == "cancelled":
        end = RunEnd(agent=spec.agent, failure=CANCELLED)
    elif status == "failed" and end is None:
        end = RunEnd(agent=spec.agent, failure=lost(lost_by))
    elif status == "completed" and end is not None and end.failure is not None:
        status = "failed"
    return Run(spec=spec, status=status, updated_at=updated_at, steps=steps, end=end)


def run_id(tenant: str, user: str | None, *, key: str | None = None) -> str:
    """An id that begins the same for all runs of a tenant, and of a person; the same for the same `key`."""
    rest = _digest(tenant, user or "", key)[:24] if key is not None else uuid.uuid4().hex[:24]
    return f"{prefix_of(tenant)}{_digest(tenant, user or '')[:8]}{rest}"


def prefix_of(tenant: str, user: str | None = None) -> str:
    """How the ids of all of a tenant's runs begin, or of one person's. Others' may, too: compare the spec."""
    of_tenant = f"run_{_digest(tenant)[:12]}"
    return of_tenant if user is None else f"{of_tenant}{_digest(tenant, user)[:8]}"


def failure_of(error: WaysideError) -> Failure:
    return Failure(
        kind=type(error).__name__,
        message=error.message,
        status=error.status,
        param=error.param,
        code=error.code,
        retry_after_s=error.retry_after_s,
        error=error.error if isinstance(error, UpstreamRefused) else None,
    )


def error_of(failure: Failure) -> WaysideError:
    """The error again, to be told to whoever waits for the run."""
    if failure.error is not None:
        return UpstreamRefused(
            status=failure.status, error=failure.error, retry_after_s=failure.retry_after_s
        )
    kind = _KINDS.get(failure.kind, errors.InternalError)
    return kind(failure.message, param=failure.param, code=failure.code, retry_after_s=failure.retry_after_s)


_REBUILT: tuple[type[WaysideError], ...] = (
    errors.InvalidRequest,
    errors.NotFound,
    errors.ModelNotFound,
    errors.Overloaded,
    errors.DeadlineExceeded,
    errors.UpstreamUnavailable,
    errors.UpstreamBroken,
)
_KINDS = {kind.__name__: kind for kind in _REBUILT}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()
