"""Which agent takes a call, and what an operator's file may change."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.agents.roster import Roster, read
from cloud.loop import RunLimits, tightened
from cloud.wire.service.settings import StartUpError
from tests.support.cloud_calls import call

TOOLS = frozenset(
    {"calculate", "run_sql", "describe_tables", "draw_chart", "search_memory", "search_documents"}
)


def roster(tmp_path: Path, text: str = "", granted: dict[str, tuple[str, ...]] | None = None) -> Roster:
    file = tmp_path / "agents.toml"
    file.write_text(text, "utf-8")
    return read(file, tools=TOOLS, granted=granted or {})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "chat"),
        ({"agent": "research"}, "research"),
        ({"intent": "data_analysis"}, "analysis"),
        ({"agent": "summarizer", "intent": "data_analysis"}, "summarizer"),
        ({"agent": "nobody", "intent": "coding"}, "chat"),
    ],
)
async def test_who_takes_a_call_first(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    assert roster(tmp_path).first(replace(call(), **fields)).name == name


@pytest.mark.anyio
async def test_a_caller_with_tools_of_its_own_gets_the_plain_agent(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert roster(tmp_path).first(replace(call(tools=tools), intent="data_analysis")).name == "chat"


def test_a_file_changes_what_it_names_and_adds_what_is_new(tmp_path: Path) -> None:
    text = """
[agents.analysis]
tier = "strong"
[agents.poet]
instructions = "Rhyme."
hands_off_to = ["chat"]
[intents]
writing = "poet"
"""
    found = roster(tmp_path, text, {"poet": ("calculate",)})
    assert found.named("analysis").tier == "strong"
    assert "run_sql" in found.named("analysis").tools
    assert found.named("poet").tools == ("calculate",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[agents.poet]\ntools = ["fly"]', "fly"),
        ('[agents.poet]\nhands_off_to = ["nobody"]', "nobody"),
        ('[intents]\nwriting = "nobody"', "nobody"),
        ("[agents.poet]\ncolour = 1", "colour"),
        ("[agents.Poet]\nabout = ''", "regex"),
        ("[agents", "agents.toml"),
    ],
)
def test_a_file_that_cannot_be_is_refused_by_name(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(StartUpError, match=named):
        roster(tmp_path, text)


def test_an_agents_own_limits_hold_while_it_has_the_word(tmp_path: Path) -> None:
    agents = roster(tmp_path, "[agents.analysis]\nmax_turns = 2\nmax_usd = 0.01\nmax_tool_calls = 0\n")
    limits = tightened(RunLimits(), agents.named("analysis"))
    assert (limits.turns, limits.usd, limits.tool_calls) == (2, 0.01, 0)
    assert tightened(RunLimits(), agents.named("research")) == RunLimits()
    assert tightened(RunLimits(usd=0), agents.named("analysis")).usd == 0.01
