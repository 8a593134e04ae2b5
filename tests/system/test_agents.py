"""Agents with tools, through the cloud over real sockets, with a model that is told what to call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.stack import ask, running
from tests.support.upstream import FakeUpstream, Received, Script, answers, completion, fake_upstream

pytestmark = pytest.mark.anyio

TABLE = "month,product,revenue\nMarch,Desk,3600\nMarch,Lamp,1499.5\nApril,Desk,10"


def calls(name: str, arguments: str) -> dict[str, Any]:
    """A model's answer that calls one tool."""
    document = completion("")
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    document["choices"][0] |= {
        "message": {"role": "assistant", "content": None, "tool_calls": [call]},
        "finish_reason": "tool_calls",
    }
    return document


def in_turn(*documents: dict[str, Any]) -> Script:
    """Each request gets the next document; the last one for ever."""
    given = iter(documents)
    last = documents[-1]

    async def script(request: Received, writer: Any) -> None:
        await answers(next(given, last))(request, writer)

    return script


@asynccontextmanager
async def cloud(
    tmp_path: Path, script: Script, agents: str = "", **settings: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeUpstream]]:
    file = tmp_path / "agents.toml"
    file.write_text(agents, "utf-8")
    async with fake_upstream(script) as model:
        providers = f"""
[providers.fake]
kind = "openai"
base_url = "{model.url}"
[[models]]
name = "m"
provider = "fake"
"""
        told = {"agents_file": file, **settings}
        async with running(tmp_path, providers=providers, cloud_settings=told) as services:
            edge = KeyFile(tmp_path / "cloud-keys.json").add(tenant="e", role="edge")
            headers = {
                "authorization": f"Bearer {edge}",
                "wayside-tenant": "acme",
                "wayside-agent": "analysis",
            }
            async with httpx.AsyncClient(
                base_url=services.cloud_url, headers=headers, trust_env=False, timeout=30
            ) as client:
                yield client, model


async def said(client: httpx.AsyncClient, text: str, **fields: Any) -> str:
    answer = await client.post("/v1/chat/completions", json=ask(text, **fields))
    assert answer.status_code == 200
    return str(answer.json()["choices"][0]["message"]["content"])


async def test_the_analysis_agent_computes_with_the_users_table(tmp_path: Path) -> None:
    query = '{"sql": "SELECT sum(revenue) AS total FROM table1 WHERE month = \'March\'"}'
    tables = calls("describe_tables", "{}")
    script = in_turn(tables, calls("run_sql", query), completion("It is 5099.5."))
    async with cloud(tmp_path, script) as (client, model):
        text = await said(client, f"Why did revenue change, and what was it in March?\n\n{TABLE}", model="m")
        assert text == "It is 5099.5."
        sent = [request.json for request in model.received]
        assert {one["function"]["name"] for one in sent[0]["tools"]} >= {"run_sql", "describe_tables"}
        assert sent[0]["messages"][0]["role"] == "system"
        results = [one["content"] for one in sent[-1]["messages"] if one["role"] == "tool"]
        assert "5099.5" in results[-1]


async def test_a_streamed_run_ends_like_any_stream_and_counts_all_its_tokens(tmp_path: Path) -> None:
    script = in_turn(calls("calculate", '{"expression": "6*7"}'), completion("42"))
    async with cloud(tmp_path, script) as (client, _):
        body = ask("What is six times seven?", model="m", stream=True, stream_options={"include_usage": True})
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.text.rstrip().endswith("data: [DONE]")
        assert '"content":"42"' in answer.text
        assert '"total_tokens":6' in answer.text  # two steps of three tokens
        assert answer.headers["wayside-agent"] == "analysis"


RUNAWAYS = {
    "the same tool for ever": (calls("calculate", '{"expression": "1+1"}'), "repeated"),
    "a tool that is not there": (calls("fly", "{}"), "repeated"),
    "arguments that are none": (calls("calculate", "{{"), "repeated"),
    "a hand-over nobody allowed": (calls("hand_off_to_research", "{}"), "not allowed"),
}


@pytest.mark.parametrize("name", RUNAWAYS)
async def test_a_run_that_would_never_end_ends_and_says_why(tmp_path: Path, name: str) -> None:
    document, reason = RUNAWAYS[name]
    async with cloud(tmp_path, in_turn(document)) as (client, model):
        text = await said(client, "Go on for ever.", model="m")
        assert text.startswith("I had to stop before I was done")
        assert reason in text
        assert len(model.received) <= 4


async def test_agents_that_hand_over_in_a_circle_are_stopped(tmp_path: Path) -> None:
    agents = """
[agents.analysis]
hands_off_to = ["research"]
[agents.research]
hands_off_to = ["analysis"]
"""
    script = in_turn(
        calls("hand_off_to_research", "{}"),
        calls("hand_off_to_analysis", "{}"),
    )
    async with cloud(tmp_path, script, agents) as (client, model):
        text = await said(client, "Whose is it?", model="m")
        assert "circle" in text
        assert len(model.received) == 2


async def test_tokens_spent_never_pass_the_limit_by_more_than_one_call(tmp_path: Path) -> None:
    answers_with = [calls("calculate", f'{{"expression": "{n}+1"}}') for n in range(20)]
    async with cloud(tmp_path, in_turn(*answers_with), max_run_tokens=8) as (client, model):
        text = await said(client, "Count.", model="m")
        assert "8 tokens" in text
        assert "What was found so far" in text
        assert len(model.received) == 3  # three tokens each: 3, 6, 9


async def test_a_chart_comes_back_in_the_answer(tmp_path: Path) -> None:
    chart = '{"sql": "SELECT month, sum(revenue) AS r FROM table1 GROUP BY month", "kind": "bar"}'
    script = in_turn(calls("draw_chart", chart), completion("Here it is."))
    async with cloud(tmp_path, script) as (client, _):
        text = await said(client, f"Draw revenue by month, please.\n\n{TABLE}", model="m")
        assert text.startswith("Here it is.")
        assert "](data:image/" in text


CHAT_WITH_A_TOOL = '[agents.chat]\ntools = ["calculate"]'


@pytest.mark.parametrize("why", ["cut by the model", "ended by a limit"])
async def test_an_answer_that_is_not_whole_says_so_and_the_edge_keeps_none_of_it(
    tmp_path: Path, why: str
) -> None:
    cut = completion("The total is 50")
    cut["choices"][0]["finish_reason"] = "length"
    script = in_turn(cut if why == "cut by the model" else calls("calculate", '{"expression": "1+1"}'))
    async with fake_upstream(script) as model:
        providers = f"""
[providers.fake]
kind = "openai"
base_url = "{model.url}"
[[models]]
name = "m"
provider = "fake"
"""
        file = tmp_path / "agents.toml"
        file.write_text(CHAT_WITH_A_TOOL, "utf-8")
        async with (
            running(tmp_path, providers=providers, cloud_settings={"agents_file": file}) as services,
            services.http() as client,
        ):
            for _ in range(2):
                answer = await client.post("/v1/chat/completions", json=ask("What is the total?", model="m"))
                assert answer.json()["choices"][0]["finish_reason"] == "length"
                assert answer.headers["wayside-route"] == "cloud"


async def test_a_call_that_is_no_function_is_told_to_the_model(tmp_path: Path) -> None:
    strange = calls("calculate", "{}")
    del strange["choices"][0]["message"]["tool_calls"][0]["function"]
    async with cloud(tmp_path, in_turn(strange, completion("Sorry."))) as (client, model):
        assert await said(client, "Go.", model="m") == "Sorry."
        assert "only functions" in model.received[1].json["messages"][-1]["content"]
