"""The two kinds of steps a run is made of: asking a model, and having a tool do something."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jsonschema
import msgspec

from cloud.agents.agent import Agent
from cloud.agents.roster import Roster
from cloud.catalog import Catalog
from cloud.domain import Call, ToolContext, ToolResult
from cloud.domain_runs import ModelStep, RunSpec, ToolStep, failure_of
from cloud.loop import HAND_OFF
from cloud.ports import Provider, Tool
from cloud.wire.answers import Completion, Documents, Usage
from cloud.wire.chat import ChatDocument, ChatRequest, ToolCall
from cloud.wire.errors import DeadlineExceeded, UpstreamBroken, WaysideError
from cloud.wire.service.observe import Log, TracedDocuments, Tracing

_completions = msgspec.json.Decoder(Completion)
_LEAST_S = 0.05
"""With less time than this left, nothing is begun."""
_MOST_COMPLAINT = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A run with its request, read."""

    spec: RunSpec
    body: Mapping[str, Any]
    document: ChatDocument


def read(spec: RunSpec) -> Asked:
    """Once a run: its request may carry whole tables."""
    body = msgspec.json.decode(spec.body)
    request = msgspec.convert(body, ChatRequest)
    return Asked(spec=spec, body=body, document=ChatDocument(request=request, body=spec.body.encode()))


class RunSteps:
    """Each method does one step, and tells in its value what went wrong; only cancellation is raised."""

    def __init__(
        self,
        *,
        provider: Provider,
        catalog: Catalog,
        roster: Roster,
        tools: Mapping[str, Tool],
        tracing: Tracing,
        log: Log,
    ) -> None:
        self._provider = provider
        self._catalog = catalog
        self._roster = roster
        self._tools = tools
        self._tracing = tracing
        self._log = log

    async def ask(self, run: Asked, agent: Agent, said: Sequence[dict[str, Any]]) -> ModelStep:
        """One answer of the agent's model to the conversation so far, asked plainly."""
        try:
            call = self._call(run, agent)
        except WaysideError as error:  # the catalog has changed since the run was asked for
            return ModelStep(agent=agent.name, model=run.spec.model, failure=failure_of(error))
        model = call.model
        if call.remaining_s() < _LEAST_S:
            return ModelStep(agent=agent.name, model=model.name, stopped_by="the request's deadline")
        uses_tools = model.uses_tools
        asked = {
            **run.body,
            "messages": [*instructed(agent, run.body["messages"]), *(said if uses_tools else _told(said))],
        }
        for field in ("stream", "stream_options", "tool_choice", "tools"):
            asked.pop(field, None)
        if uses_tools and (offered := self._offered(agent)):  # an empty list is refused by many
            asked["tools"] = offered
        prepared = with_body(call, asked)
        try:
            completion, size = await self._answer(prepared)
        except DeadlineExceeded:
            return ModelStep(agent=agent.name, model=model.name, stopped_by="the request's deadline")
        except WaysideError as error:
            return ModelStep(agent=agent.name, model=model.name, failure=failure_of(error))
        choice = completion.choices[0]
        usage = completion.usage or _estimated(len(prepared.document.body), size)
        calls = choice.message.tool_calls
        return ModelStep(
            agent=agent.name,
            model=model.name,
            content=choice.message.content,
            tool_calls=calls if isinstance(calls, list) else [],
            finish_reason=choice.finish_reason,
            usage=usage,
            usd=model.price.of(usage),
        )

    async def use(self, run: Asked, agent: Agent, asked: ToolCall, place: str) -> ToolStep:
        """What the tool says; whatever goes wrong is told to the model."""
        name = asked.function.name if asked.function is not None else "(no function)"
        return ToolStep(
            agent=agent.name,
            tool=name,
            result=await self._used(run, agent, asked, place),
            mark=f"untrusted-{secrets.token_hex(8)}",
        )

    async def _used(self, run: Asked, agent: Agent, asked: ToolCall, place: str) -> ToolResult:
        if asked.function is None:
            return ToolResult(text="only functions can be called here", is_error=True)
        name = asked.function.name
        tool = self._tools.get(name) if name in agent.tools else None
        if tool is None:
            return ToolResult(text=f"there is no tool `{name}` here", is_error=True)
        try:
            arguments = msgspec.json.decode(asked.function.arguments or "{}", type=dict[str, Any])
            jsonschema.validate(arguments, dict(tool.spec.parameters))
        except (msgspec.MsgspecError, RecursionError):
            return ToolResult(text="the arguments are not a JSON object", is_error=True)
        except jsonschema.ValidationError as error:
            complaint = error.message[:_MOST_COMPLAINT]
            return ToolResult(text=f"the arguments do not fit the tool: {complaint}", is_error=True)
        except jsonschema.SchemaError:
            pass  # a server's schema that is none is the server's to judge by
        spec = run.spec
        left = spec.deadline_at - time.time()
        if left < _LEAST_S:
            return ToolResult(text="the run's deadline has passed", is_error=True)
        context = ToolContext(
            tenant=spec.tenant,
            agent=agent.name,
            deadline=asyncio.get_running_loop().time() + left,
            idempotency_key=f"{spec.id}/{place}",
            user=spec.user,
            session=spec.session,
            run=spec.id,
            request=run.document.request,
        )
        with self._tracing.span(f"execute_tool {name}", {"gen_ai.tool.name": name}):
            try:
                async with asyncio.timeout(left):
                    return await tool.call(arguments, context)
            except TimeoutError:
                return ToolResult(text="the tool did not finish before the deadline", is_error=True)
            except WaysideError as error:
                return ToolResult(text=error.message, is_error=True)
            except Exception as error:  # a defect of one tool must not lose what the others found
                self._log.event("tool_failed", tool=name, run=spec.id, error=type(error).__name__)
                return ToolResult(text="the tool failed", is_error=True)

    def _call(self, run: Asked, agent: Agent) -> Call:
        spec = run.spec
        call = Call(
            document=run.document,
            model=self._catalog.resolve(spec.model),
            deadline=asyncio.get_running_loop().time() + spec.deadline_at - time.time(),
            tenant=spec.tenant,
            session=spec.session,
            request_id=spec.request_id,
            agent=agent.name,
            run=spec.id,
        )
        return modelled(agent, call, self._catalog)

    async def _answer(self, call: Call) -> tuple[Completion, int]:
        """The completion, and its size in bytes."""
        documents = traced_documents(self._provider, self._tracing, call)
        try:
            document = await anext(documents)
            completion = _completions.decode(document)
        except StopAsyncIteration:
            raise UpstreamBroken("the model's answer is empty") from None
        except msgspec.MsgspecError as error:
            raise UpstreamBroken("the model's answer is not a chat completion") from error
        finally:
            await documents.aclose()
        if not completion.choices:
            raise UpstreamBroken("the model's answer has no choice")
        return completion, len(document)

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


def instructed(agent: Agent, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the agent's instructions before them."""
    if not agent.instructions:
        return messages
    return [{"role": "system", "content": agent.instructions}, *messages]


def modelled(agent: Agent, call: Call, catalog: Catalog) -> Call:
    """The call with the agent's model. Raises ModelNotFound."""
    if agent.model is not None:
        return replace(call, model=catalog.resolve(agent.model))
    if agent.tier is not None:
        return replace(call, model=catalog.of_tier(agent.tier) or call.model)
    return call


def with_body(call: Call, body: Mapping[str, Any]) -> Call:
    request = msgspec.convert(body, ChatRequest)
    return replace(call, document=ChatDocument(request=request, body=msgspec.json.encode(body)))


def traced_documents(provider: Provider, tracing: Tracing, call: Call) -> Documents:
    """The call's answer, not yet begun: nothing happens until its first document is asked for."""
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": call.model.provider,
        "gen_ai.request.model": call.model.upstream_name,
        "wayside.tenant": call.tenant,
    }
    if call.session is not None:
        attributes["gen_ai.conversation.id"] = call.session
    if tracing.record_content:
        attributes["gen_ai.input.messages"] = msgspec.json.encode(call.request.messages).decode()
    span = tracing.start_call(f"chat {call.model.upstream_name}", attributes)
    if span is None:
        return provider.complete(call)
    return TracedDocuments(provider.complete(replace(call, trace_headers=span.headers)), span)


def _told(said: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What tools found, for a model that knows of no tools: as something the user supplies."""
    found = [one["content"] for one in said if one["role"] == "tool"]
    if not found:
        return []
    return [{"role": "user", "content": "What was found so far:\n\n" + "\n\n".join(found)}]


def _estimated(asked: int, answered: int) -> Usage:
    """For a model that does not count: four bytes a token."""
    read, written = asked // 4, answered // 4
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
