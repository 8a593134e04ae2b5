"""A run as its API shows it. Pure."""

from collections import defaultdict
from typing import Any

import msgspec

from cloud.domain_runs import ModelStep, Run, RunStep
from cloud.wire.answers import Usage


def shown(run: Run) -> dict[str, Any]:
    """Steps, tokens and cost, agent by agent; the answer once there is one."""
    models = [one.step for one in run.steps if isinstance(one.step, ModelStep)]
    agents: dict[str, dict[str, float]] = defaultdict(lambda: {"turns": 0, "tokens": 0, "usd": 0.0})
    for step in models:
        of_agent = agents[step.agent]
        of_agent["turns"] += 1
        of_agent["tokens"] += step.usage.prompt_tokens + step.usage.completion_tokens
        of_agent["usd"] += step.usd
    end = run.end
    return {
        "object": "run",
        "id": run.spec.id,
        "status": run.status,
        "agent": run.spec.agent,
        "model": run.spec.model,
        "user": run.spec.user,
        "background": run.spec.is_background,
        "created_at": run.spec.created_at,
        "updated_at": run.updated_at,
        "expires_at": run.spec.deadline_at,
        "steps": [step_shown(one) for one in run.steps],
        "agents": dict(agents),
        "usage": msgspec.to_builtins(_total(models)),
        "usd": sum(step.usd for step in models),
        "artifacts": [
            {
                "name": artifact.name,
                "media_type": artifact.media_type,
                "bytes": len(artifact.content),
                "url": f"/v1/runs/{run.spec.id}/artifacts/{number}",
            }
            for number, artifact in enumerate(run.artifacts)
        ],
        "answer": None
        if end is None or end.failure is not None
        else {"agent": end.agent, "content": end.text, "finish_reason": end.finish_reason},
        "error": None
        if end is None or end.failure is None
        else {"message": end.failure.message, "code": end.failure.code, "status": end.failure.status},
    }


def step_shown(one: RunStep) -> dict[str, Any]:
    """What a step did, not what was said in it."""
    common = {"number": one.number, "started_at": one.started_at, "ended_at": one.ended_at}
    step = one.step
    if isinstance(step, ModelStep):
        return common | {
            "type": "model",
            "agent": step.agent,
            "model": step.model,
            "calls": [call.function.name for call in step.tool_calls if call.function is not None],
            "usage": msgspec.to_builtins(step.usage),
            "usd": step.usd,
            "error": None if step.failure is None else step.failure.message,
        }
    return common | {
        "type": "tool",
        "agent": step.agent,
        "tool": step.tool,
        "error": step.result.text if step.result.is_error else None,
    }


def _total(steps: list[ModelStep]) -> Usage:
    read = sum(step.usage.prompt_tokens for step in steps)
    written = sum(step.usage.completion_tokens for step in steps)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
