"""An agent's loop, a step at a time. What a step gave is read from the journal where it was done before.

1  limits: a run that has used up what it may ends with what it found
2  one step of a model
3  final answer -> done │ tool calls -> run them, from 1 │ hand-over -> another agent, from 1

The loop itself decides by what steps gave and by nothing else, so a run that is taken up again by another
process goes the same way.
"""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from cloud.agents.roster import Roster
from cloud.domain import Artifact
from cloud.domain_runs import ModelStep, RunEnd, RunSpec, ToolStep
from cloud.loop import (
    HAND_OFF,
    Progress,
    RunLimits,
    stops_before_calls,
    stops_before_hand_off,
    stops_before_turn,
    tightened,
)
from cloud.ports import Journal
from cloud.run_endings import ending, unanswered
from cloud.run_steps import RunSteps, read
from cloud.wire.chat import ToolCall
from cloud.wire.service.observe import Tracing

MOST_RESULT_CHARACTERS = 16_000
MOST_PICTURE_BYTES = 512 * 1024


class RunLoop:
    """Does runs; the port RunWork."""

    def __init__(self, *, roster: Roster, limits: RunLimits, steps: RunSteps, tracing: Tracing) -> None:
        self._roster = roster
        self._limits = limits
        self._steps = steps
        self._tracing = tracing

    async def __call__(self, spec: RunSpec, journal: Journal) -> RunEnd:
        attributes = {"gen_ai.agent.name": spec.agent, "wayside.run": spec.id}
        with self._tracing.span(f"invoke_agent {spec.agent}", attributes):
            return await self._run(spec, journal)

    async def _run(self, spec: RunSpec, journal: Journal) -> RunEnd:
        agent = self._roster.named(spec.agent)
        run = read(spec)
        said: list[dict[str, Any]] = []
        found: list[str] = []
        made: list[Artifact] = []
        progress = Progress().handed_to(agent.name)
        while True:
            limits = tightened(self._limits, agent)
            stop = stops_before_turn(progress, limits)
            if stop is not None:
                return ending(stop, found, progress)
            step = await journal.once(
                f"model {agent.name}", ModelStep, partial(self._steps.ask, run, agent, tuple(said))
            )
            if step.stopped_by is not None:
                return ending(step.stopped_by, found, progress)
            if step.failure is not None:
                return unanswered(step.failure, found, progress)
            progress = progress.after_turn(step.usage, step.usd)
            calls = [one for one in step.tool_calls if _hands_to(one) is None]
            target = next((to for one in step.tool_calls if (to := _hands_to(one)) is not None), None)
            if not step.tool_calls:
                return RunEnd(
                    agent=agent.name,
                    text=f"{step.content or ''}{_pictures(made)}",
                    finish_reason=step.finish_reason,
                    usage=progress.usage,
                    usd=progress.usd,
                )
            stop = stops_before_calls(progress, limits, [_key(one) for one in calls])
            if stop is not None:
                return ending(stop, found, progress)
            progress = progress.after_calls([_key(one) for one in calls])
            said.append(
                {
                    "role": "assistant",
                    "content": step.content,
                    "tool_calls": msgspec.to_builtins(step.tool_calls),
                }
            )
            for place, one in enumerate(step.tool_calls):
                if _hands_to(one) is not None:
                    said.append(_answered(one, "Done." if _hands_to(one) == target else "Not done."))
                    continue
                done = await journal.once(
                    f"tool {agent.name}",
                    ToolStep,
                    partial(self._steps.use, run, agent, one, f"{progress.turns}.{place}"),
                )
                if not done.result.is_error:
                    found.append(done.result.text)
                made += done.result.artifacts
                said.append(_answered(one, _shown(done)))
            if target is None:
                continue
            stop = stops_before_hand_off(progress, target)
            if stop is not None or target not in agent.hands_off_to:
                return ending(stop or f"a hand-over to `{target}`, which is not allowed", found, progress)
            agent, progress = self._roster.named(target), progress.handed_to(target)


def _hands_to(call: ToolCall) -> str | None:
    """The agent that a call hands over to."""
    name = call.function.name if call.function is not None else ""
    return name.removeprefix(HAND_OFF) if name.startswith(HAND_OFF) else None


def _key(call: ToolCall) -> str:
    return f"{call.function.name}({call.function.arguments})" if call.function is not None else call.id


def _answered(call: ToolCall, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call.id, "content": text}


def _shown(step: ToolStep) -> str:
    text = step.result.text[:MOST_RESULT_CHARACTERS]
    if step.result.is_untrusted:
        text = f"<{step.mark}>\n{text}\n</{step.mark}>"
    return f"Error: {text}" if step.result.is_error else text


def _pictures(made: Sequence[Artifact]) -> str:
    """What tools drew, as Markdown that carries the picture itself."""
    shown = [
        one for one in made if one.media_type.startswith("image/") and len(one.content) <= MOST_PICTURE_BYTES
    ]
    return "".join(
        f"\n\n![{one.name}](data:{one.media_type};base64,{base64.b64encode(one.content).decode()})"
        for one in shown
    )
