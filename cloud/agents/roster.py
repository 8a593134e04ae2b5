"""Which agents there are, and who takes a call first: shipped ones, changed and joined by a TOML file."""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.agents import SHIPPED
from cloud.agents.agent import Agent
from cloud.agents.chat import CHAT
from cloud.domain import Call, Tier
from cloud.wire.service.settings import StartUpError

DATA_ANALYSIS = "data_analysis"
BY_INTENT: Mapping[str, str] = {DATA_ANALYSIS: "analysis", "summarization": "summarizer"}
"""Who takes what the edge has read in a request."""


class AgentConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[agents.NAME]`: what is left out stays as shipped."""

    instructions: Annotated[str, Meta(max_length=20_000)] | None = None
    tools: list[str] | None = None
    hands_off_to: list[str] | None = None
    about: str | None = None
    model: str | None = None
    tier: Tier | None = None
    max_turns: Annotated[int, Meta(ge=1)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=0)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_usd: Annotated[float, Meta(gt=0)] | None = None


class AgentsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    agents: dict[Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,30}$")], AgentConfig] = {}
    intents: dict[str, str] = {}
    """Agent by intent, beside the shipped ones."""


class Roster:
    """Agents by name."""

    def __init__(self, agents: Mapping[str, Agent], intents: Mapping[str, str]) -> None:
        self._agents = agents
        self._intents = intents

    def named(self, name: str) -> Agent:
        return self._agents[name]

    def first(self, call: Call) -> Agent:
        """The agent the edge asked for, else the one for the intent it read, else chat.

        A caller that brings tools of its own wants to run them itself: that is chat, whatever is read.
        """
        if call.request.tools:
            return self._agents[CHAT.name]
        for name in (call.agent, self._intents.get(call.intent or "")):
            if name is not None and name in self._agents:
                return self._agents[name]
        return self._agents[CHAT.name]


def read(path: Path | None, *, tools: frozenset[str], granted: Mapping[str, tuple[str, ...]]) -> Roster:
    """The shipped agents and those of the file. `granted`: tools that the operator gave agents elsewhere.

    Raises StartUpError naming the agent and the key at fault.
    """
    file = _file(path)
    agents = {agent.name: agent for agent in SHIPPED}
    for name, config in file.agents.items():
        told: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in msgspec.structs.asdict(config).items()
            if value is not None
        }
        agents[name] = replace(agents.get(name, Agent(name=name)), **told)
    for name, agent in agents.items():
        more = tuple(tool for tool in granted.get(name, ()) if tool not in agent.tools)
        agents[name] = agent = replace(agent, tools=(*agent.tools, *more))
        if missing := [tool for tool in agent.tools if tool not in tools]:
            raise StartUpError(f"{path}: [agents.{name}] tools: there is no tool `{missing[0]}`")
        if missing := [other for other in agent.hands_off_to if other not in agents]:
            raise StartUpError(f"{path}: [agents.{name}] hands_off_to: there is no agent `{missing[0]}`")
    intents = {**BY_INTENT, **file.intents}
    if missing := [agent for agent in intents.values() if agent not in agents]:
        raise StartUpError(f"{path}: [intents] there is no agent `{missing[0]}`")
    return Roster(agents, intents)


def _file(path: Path | None) -> AgentsFile:
    if path is None:
        return AgentsFile()
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), AgentsFile)
    except OSError as error:
        raise StartUpError(f"cannot read the agents file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StartUpError(f"{path}: {error}") from error
