"""Answers a call: one call to a model where that is all, else the loop of an agent with its tools.

1  the agent that takes the call first
2  limits: a run that has used up what it may ends with what it found
3  one step of a model
4  final answer -> done │ hand-over -> another agent, from 2 │ tool calls -> run them, from 2
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cloud.agents.agent import Agent
from cloud.agents.roster import Roster
from cloud.catalog import Catalog
from cloud.domain import Answer, Artifact, Call, ToolContext, ToolResult
from cloud.loop import (
    HAND_OFF,
    Progress,
    RunLimits,
    stops_before_calls,
    stops_before_hand_off,
    stops_before_turn,
)
from cloud.ports import Provider, Tool
from cloud.wire import headers as names
from cloud.wire.answers import AnswerMessage, Choice, Completion, Documents, Ready, Usage, as_chunks
from cloud.wire.chat import ChatDocument, ChatRequest, ToolCall
from cloud.wire.errors import DeadlineExceeded, UpstreamBroken, WaysideError
from cloud.wire.service.observe import TracedDocuments, Tracing

MOST_RESULT_CHARACTERS = 16_000
MOST_PICTURE_BYTES = 512 * 1024
_completions = msgspec.json.Decoder(Completion)


@dataclass(frozen=True, kw_only=True, slots=True)
class _End:
    """How a run ended."""

    text: str
    finish_reason: str
    """The model's own, or `length` for a run that a limit ended: neither is a whole answer to be kept."""
    usage: Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    """What a model said once."""

    message: AnswerMessage
    usage: Usage
    finish_reason: str


class Orchestrator:
    """Everything between a parsed request and its answer."""

    def __init__(
        self,
        *,
        provider: Provider,
        catalog: Catalog,
        roster: Roster,
        tools: Mapping[str, Tool],
        limits: RunLimits,
        tracing: Tracing,
    ) -> None:
        self._provider = provider
        self._catalog = catalog
        self._roster = roster
        self._tools = tools
        self._limits = limits
        self._tracing = tracing

    async def answer(self, call: Call) -> Answer:
        agent = self._roster.first(call)
        prepared = self._as(agent, call)
        if agent.is_plain or not prepared.model.uses_tools:
            return Answer(documents=self._documents(prepared), headers=_named(agent))
        return Answer(documents=_Later(self._run(agent, call)), headers=_named(agent))

    async def _run(self, agent: Agent, call: Call) -> list[bytes]:
        with self._tracing.span(f"invoke_agent {agent.name}", {"gen_ai.agent.name": agent.name}):
            end = await self._loop(agent, call)
        completion = msgspec.json.encode(
            Completion(
                id=f"chatcmpl-{call.request_id}",
                created=int(time.time()),
                model=call.model.name,
                choices=[Choice(message=AnswerMessage(content=end.text), finish_reason=end.finish_reason)],
                usage=end.usage,
            )
        )
        if not call.request.streams:
            return [completion]
        return as_chunks(completion, with_usage=call.request.streams_usage)

    async def _loop(self, agent: Agent, call: Call) -> _End:
        body = msgspec.json.decode(call.document.body)
        said: list[dict[str, Any]] = []
        found: list[str] = []
        made: list[Artifact] = []
        progress = Progress().handed_to(agent.name)
        while True:
            stop = stops_before_turn(progress, self._limits, remaining_s=call.remaining_s())
            if stop is not None:
                return _ended(stop, found, progress)
            try:
                step = await self._step(agent, call, body, said)
            except DeadlineExceeded:
                return _ended("the request's deadline", found, progress)
            progress = progress.after_turn(step.usage, call.model.price.of(step.usage))
            calls = step.message.tool_calls if isinstance(step.message.tool_calls, list) else []
            if not calls:
                return _End(
                    text=f"{step.message.content or ''}{_pictures(made)}",
                    finish_reason=step.finish_reason,
                    usage=progress.usage,
                )
            target = next((one.function.name for one in calls if one.function is not None), "")
            if target.startswith(HAND_OFF):
                to = target.removeprefix(HAND_OFF)
                stop = stops_before_hand_off(progress, to)
                if stop is not None or to not in agent.hands_off_to:
                    return _ended(stop or f"a hand-over to `{to}`, which is not allowed", found, progress)
                agent, progress = self._roster.named(to), progress.handed_to(to)
                continue
            stop = stops_before_calls(progress, self._limits, [_key(one) for one in calls])
            if stop is not None:
                return _ended(stop, found, progress)
            progress = progress.after_calls([_key(one) for one in calls])
            said.append(
                {
                    "role": "assistant",
                    "content": step.message.content,
                    "tool_calls": msgspec.to_builtins(calls),
                }
            )
            for place, one in enumerate(calls):
                result = await self._called(agent, call, one, f"{progress.turns}.{place}")
                if not result.is_error:
                    found.append(result.text)
                made += result.artifacts
                said.append({"role": "tool", "tool_call_id": one.id, "content": _shown(result)})

    async def _step(
        self, agent: Agent, call: Call, body: Mapping[str, Any], said: Sequence[dict[str, Any]]
    ) -> _Step:
        """One answer of the agent's model to the conversation so far, asked plainly."""
        messages = [*_instructed(agent, body["messages"]), *said]
        asked = {**body, "messages": messages}
        if offered := self._offered(agent):  # an empty list is refused by many
            asked["tools"] = offered
        for field in ("stream", "stream_options", "tool_choice"):
            asked.pop(field, None)
        prepared = _with_body(self._modelled(agent, call), asked)
        documents = self._documents(replace(prepared, agent=agent.name))
        try:
            document = await anext(documents)
        except StopAsyncIteration:
            raise UpstreamBroken("the model's answer is empty") from None
        finally:
            await documents.aclose()
        try:
            completion = _completions.decode(document)
            choice = completion.choices[0]
        except (msgspec.MsgspecError, IndexError) as error:
            raise UpstreamBroken("the model's answer is not a chat completion") from error
        return _Step(
            message=choice.message,
            usage=completion.usage or _estimated(prepared.document.body, document),
            finish_reason=choice.finish_reason,
        )

    async def _called(self, agent: Agent, call: Call, asked: ToolCall, place: str) -> ToolResult:
        """What the tool says; whatever goes wrong is told to the model."""
        if asked.function is None:
            return ToolResult(text="only functions can be called here", is_error=True)
        name = asked.function.name
        tool = self._tools.get(name) if name in agent.tools else None
        if tool is None:
            return ToolResult(text=f"there is no tool `{name}` here", is_error=True)
        try:
            arguments = msgspec.json.decode(asked.function.arguments or "{}", type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            return ToolResult(text="the arguments are not a JSON object", is_error=True)
        context = ToolContext(
            tenant=call.tenant,
            agent=agent.name,
            deadline=call.deadline,
            idempotency_key=f"{call.request_id}/{place}",
            user=call.user,
            session=call.session,
            request=call.request,
        )
        with self._tracing.span(f"execute_tool {name}", {"gen_ai.tool.name": name}):
            try:
                async with asyncio.timeout(call.remaining_s()):
                    return await tool.call(arguments, context)
            except TimeoutError:
                return ToolResult(text="the tool did not finish before the deadline", is_error=True)
            except WaysideError as error:
                return ToolResult(text=error.message, is_error=True)

    def _offered(self, agent: Agent) -> list[dict[str, Any]]:
        """The agent's tools and colleagues, as a model is told of them."""
        functions = [
            {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
            for spec in (self._tools[name].spec for name in agent.tools)
        ]
        functions += [
            {
                "name": f"{HAND_OFF}{name}",
                "description": f"Let the agent {name} go on: it {self._roster.named(name).about}.",
                "parameters": {"type": "object", "properties": {}},
            }
            for name in agent.hands_off_to
        ]
        return [{"type": "function", "function": function} for function in functions]

    def _as(self, agent: Agent, call: Call) -> Call:
        """The call with the agent's model and instructions; as it came where the agent has neither."""
        prepared = self._modelled(agent, call)
        if not agent.instructions:
            return prepared
        body = msgspec.json.decode(call.document.body)
        return _with_body(prepared, {**body, "messages": _instructed(agent, body["messages"])})

    def _modelled(self, agent: Agent, call: Call) -> Call:
        if agent.model is not None:
            return replace(call, model=self._catalog.resolve(agent.model))
        if agent.tier is not None:
            return replace(call, model=self._catalog.of_tier(agent.tier) or call.model)
        return call

    def _documents(self, call: Call) -> Documents:
        """The call's answer, not yet begun: nothing happens until its first document is asked for."""
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": call.model.provider,
            "gen_ai.request.model": call.model.upstream_name,
            "wayside.tenant": call.tenant,
        }
        if call.session is not None:
            attributes["gen_ai.conversation.id"] = call.session
        if self._tracing.record_content:
            attributes["gen_ai.input.messages"] = msgspec.json.encode(call.request.messages).decode()
        span = self._tracing.start_call(f"chat {call.model.upstream_name}", attributes)
        if span is None:
            return self._provider.complete(call)
        return TracedDocuments(self._provider.complete(replace(call, trace_headers=span.headers)), span)


class _Later:
    """Documents of work that begins when the first is asked for, and ends with the one who asks."""

    def __init__(self, work: Coroutine[Any, Any, list[bytes]]) -> None:
        self._work = work
        self._ready: Ready | None = None

    def __aiter__(self) -> "_Later":
        return self

    async def __anext__(self) -> bytes:
        if self._ready is None:
            self._ready = Ready(await self._work)
        return await anext(self._ready)

    async def aclose(self) -> None:
        if self._ready is None:
            self._work.close()


def _named(agent: Agent) -> dict[str, str]:
    return {} if agent.is_plain and not agent.instructions else {names.AGENT: agent.name}


def _instructed(agent: Agent, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not agent.instructions:
        return messages
    return [{"role": "system", "content": agent.instructions}, *messages]


def _with_body(call: Call, body: Mapping[str, Any]) -> Call:
    request = msgspec.convert(body, ChatRequest)
    return replace(call, document=ChatDocument(request=request, body=msgspec.json.encode(body)))


def _key(call: ToolCall) -> str:
    return f"{call.function.name}({call.function.arguments})" if call.function is not None else call.id


def _shown(result: ToolResult) -> str:
    text = result.text[:MOST_RESULT_CHARACTERS]
    if result.is_error:
        return f"Error: {text}"
    if not result.is_untrusted:
        return text
    # A mark of its own for each result: none that stands in the text can close it.
    mark = f"untrusted-{secrets.token_hex(8)}"
    return f"<{mark}>\n{text}\n</{mark}>"


def _pictures(made: Sequence[Artifact]) -> str:
    """What tools drew, as Markdown that carries the picture itself."""
    shown = [
        one for one in made if one.media_type.startswith("image/") and len(one.content) <= MOST_PICTURE_BYTES
    ]
    return "".join(
        f"\n\n![{one.name}](data:{one.media_type};base64,{base64.b64encode(one.content).decode()})"
        for one in shown
    )


def _ended(limit: str, found: Sequence[str], progress: Progress) -> _End:
    """An honest end: which limit was hit, and what was found until then."""
    text = f"I had to stop before I was done: {limit} was reached."
    if found:
        text = f"{text} What was found so far:\n\n" + "\n\n".join(found[-3:])
    return _End(text=text, finish_reason="length", usage=progress.usage)


def _estimated(asked: bytes, answered: bytes) -> Usage:
    """For a model that does not count: four bytes a token."""
    read, written = len(asked) // 4, len(answered) // 4
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
