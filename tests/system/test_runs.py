"""Runs over HTTP, and runs whose processes are killed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench import run_faults
from bench.progress import Bar
from bench.run_world import World, served
from tests.support.databases import new_postgresql_database
from tests.support.stack import ask
from tests.support.upstream import Received, completion, says_nothing
from tests.system.test_agents import calls, cloud, in_turn

pytestmark = pytest.mark.anyio

SUM = calls("calculate", '{"expression": "6*7"}')
IN_BACKGROUND = {"prefer": "respond-async"}


class Unseen(Bar):
    """A progress bar that nobody looks at."""

    def __init__(self) -> None:
        pass

    def end(self, size: int) -> None:
        pass


async def ended(client: httpx.AsyncClient, run: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            shown = (await client.get(f"/v1/runs/{run}")).json()
            if shown["status"] not in ("queued", "in_progress"):
                return shown
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("durable", [False, True])
async def test_a_background_run_has_a_url_that_shows_steps_tokens_and_the_answer(
    tmp_path: Path, durable: bool
) -> None:
    async with cloud(tmp_path, in_turn(SUM, completion("42")), durable_runs=durable) as (client, _):
        begun = await client.post(
            "/v1/chat/completions", json=ask("Six times seven?", model="m"), headers=IN_BACKGROUND
        )
        assert begun.status_code == 202
        assert begun.headers["preference-applied"] == "respond-async"
        run = begun.json()["id"]
        assert begun.headers["location"] == f"/v1/runs/{run}"
        shown = await ended(client, run)
        assert shown["answer"] == {"agent": "analysis", "content": "42", "finish_reason": "stop"}
        assert [step["type"] for step in shown["steps"]] == ["model", "tool", "model"]
        assert shown["steps"][1]["tool"] == "calculate"
        assert shown["usage"]["total_tokens"] == 6
        assert shown["agents"]["analysis"]["turns"] == 2
        assert [one["id"] for one in (await client.get("/v1/runs")).json()["data"]] == [run]


@pytest.mark.parametrize("durable", [False, True])
async def test_an_erased_persons_run_is_taken_back_from_their_export_to_be_read(
    tmp_path: Path, durable: bool
) -> None:
    async with cloud(tmp_path, in_turn(SUM, completion("42")), durable_runs=durable) as (client, _):
        body = ask("Six times seven?", model="m", user="ada")
        run = (await client.post("/v1/chat/completions", json=body, headers=IN_BACKGROUND)).json()["id"]
        shown = await ended(client, run)
        exported = (await client.get("/v1/subjects/ada/export")).text
        receipt = (await client.delete("/v1/subjects/ada")).json()["erased"]
        assert (receipt["runs"], receipt["imported_runs"]) == (1, 0)
        assert (await client.get(f"/v1/runs/{run}")).status_code == 404
        news = [
            (await client.post("/v1/subjects/ada/import", content=exported)).json()["new"] for _ in range(2)
        ]
        assert news == [1, 0]
        assert (await client.get(f"/v1/runs/{run}")).json() == shown
        assert (await client.get("/v1/subjects/ada/export")).text == exported
        assert (await client.delete("/v1/subjects/ada")).json()["erased"]["imported_runs"] == 1
        assert (await client.get(f"/v1/runs/{run}")).status_code == 404


async def test_an_answer_names_the_run_it_comes_from_and_a_plain_one_has_none(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(SUM, completion("42"))) as (client, _):
        answer = await client.post("/v1/chat/completions", json=ask("Six times seven?", model="m"))
        shown = (await client.get(f"/v1/runs/{answer.headers['wayside-run']}")).json()
        assert shown["status"] == "completed"
        plain = await client.post(
            "/v1/chat/completions", json=ask("hi", model="m"), headers={"wayside-agent": "chat"}
        )
        assert "wayside-run" not in plain.headers


async def test_a_runs_events_can_be_followed_and_taken_up_after_the_last_one_seen(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(SUM, completion("42"))) as (client, _):
        begun = await client.post("/v1/chat/completions", json=ask("6*7", model="m"), headers=IN_BACKGROUND)
        url = f"/v1/runs/{begun.json()['id']}/events"
        whole = (await client.get(url)).text
        assert [line for line in whole.splitlines() if line.startswith("id:")] == ["id: 1", "id: 2", "id: 3"]
        assert json.loads(whole.strip().splitlines()[-1].removeprefix("data: "))["status"] == "completed"
        rest = (await client.get(url, headers={"last-event-id": "2"})).text
        assert "id: 2" not in rest
        assert "id: 3" in rest


async def test_cancelling_a_run_hangs_up_on_its_model(tmp_path: Path) -> None:
    async with cloud(tmp_path, says_nothing) as (client, model):
        begun = await client.post("/v1/chat/completions", json=ask("6*7", model="m"), headers=IN_BACKGROUND)
        run = begun.json()["id"]
        async with asyncio.timeout(10):
            while not model.received:
                await asyncio.sleep(0.01)
        cancelled = await client.post(f"/v1/runs/{run}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        await asyncio.wait_for(model.hung_up.wait(), 10)


async def test_a_client_that_leaves_takes_its_run_along(tmp_path: Path) -> None:
    async with cloud(tmp_path, says_nothing) as (client, model):
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/chat/completions", json=ask("6*7", model="m"), timeout=0.5)
        await asyncio.wait_for(model.hung_up.wait(), 10)
        (run,) = (await client.get("/v1/runs")).json()["data"]
        assert (await ended(client, run["id"]))["status"] == "cancelled"


async def test_what_a_run_drew_can_be_fetched(tmp_path: Path) -> None:
    chart = '{"sql": "SELECT month, sum(revenue) AS r FROM table1 GROUP BY month", "kind": "bar"}'
    table = "month,revenue\nMarch,3600\nApril,10\nMay,70"
    async with cloud(tmp_path, in_turn(calls("draw_chart", chart), completion("Here."))) as (client, _):
        answer = await client.post(
            "/v1/chat/completions", json=ask(f"Draw it, please.\n\n{table}", model="m")
        )
        (made,) = (await client.get(f"/v1/runs/{answer.headers['wayside-run']}")).json()["artifacts"]
        picture = await client.get(made["url"])
        assert picture.headers["content-type"] == made["media_type"]
        assert len(picture.content) == made["bytes"]
        missing = await client.get(made["url"].replace("artifacts/0", "artifacts/7"))
        assert missing.status_code == 404


async def test_a_run_that_is_not_there_is_a_404_on_every_path(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(completion("x"))) as (client, _):
        for path in ("", "/events", "/artifacts/0"):
            assert (await client.get(f"/v1/runs/run_nobody{path}")).status_code == 404
        assert (await client.post("/v1/runs/run_nobody/cancel")).status_code == 404


async def test_the_same_key_finds_the_run_that_was_begun(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(SUM, completion("42"))) as (client, model):
        headers = {**IN_BACKGROUND, "idempotency-key": "once"}
        first = await client.post("/v1/chat/completions", json=ask("6*7", model="m"), headers=headers)
        again = await client.post("/v1/chat/completions", json=ask("6*7", model="m"), headers=headers)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        await ended(client, first.json()["id"])
        assert len(model.received) == 2


async def test_what_tools_found_is_told_when_the_model_fails_afterwards(tmp_path: Path) -> None:
    given = iter([SUM])

    async def script(request: Received, writer: Any) -> None:
        from tests.support.upstream import answers

        document = next(given, None)
        if document is None:
            await answers({"error": {"message": "no"}}, status=400)(request, writer)
        else:
            await answers(document)(request, writer)

    async with cloud(tmp_path, script) as (client, _):
        answer = await client.post("/v1/chat/completions", json=ask("6*7", model="m"))
        assert answer.status_code == 200
        choice = answer.json()["choices"][0]
        assert choice["finish_reason"] == "length"
        assert "42" in choice["message"]["content"]
        assert "the model failed" in choice["message"]["content"]


async def test_arguments_that_do_not_fit_a_tool_are_told_to_the_model(tmp_path: Path) -> None:
    wrong = calls("calculate", '{"expression": 5}')
    async with cloud(tmp_path, in_turn(wrong, completion("Sorry."))) as (client, model):
        await client.post("/v1/chat/completions", json=ask("6*7", model="m"))
        assert "do not fit the tool" in model.received[-1].json["messages"][-1]["content"]


def test_a_run_killed_at_each_of_its_moments_finishes_and_pays_once(
    tmp_path: Path, database_url: str
) -> None:
    world = World(payments=2, pause_s=0.1)
    with served(world):
        killed = run_faults.kill_everywhere(tmp_path / "c", database_url, "store", world, Unseen())
    assert killed.finished
    assert killed.kills == 5
    assert killed.effects == 2


def test_the_runs_of_a_killed_worker_are_finished_by_the_other_and_none_twice(
    tmp_path: Path, postgresql_server: str
) -> None:
    world = World(payments=1, pause_s=0.05)
    url = new_postgresql_database(postgresql_server)
    with served(world):
        crowd = run_faults.kill_a_worker(tmp_path, url, world, runs=24, shown=Unseen())
    assert crowd.finished == 24
    assert crowd.effects == 24
    assert crowd.twice == 0


async def test_a_table_without_anybodys_word_goes_to_the_analysis_agent(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(completion("Hm."))) as (client, _):
        del client.headers["wayside-agent"]
        table = "month,product,revenue\nMarch,Desk,3600\nMarch,Lamp,1499.5\nApril,Desk,10"
        body = ask(f"Why did it fall so much, do you think?\n\n{table}")
        assert (await client.post("/v1/chat/completions", json=body)).headers["wayside-agent"] == "analysis"
        plain = await client.post("/v1/chat/completions", json=ask("Why did it fall so much?"))
        assert "wayside-agent" not in plain.headers


async def test_handing_over_goes_on_with_what_was_found(tmp_path: Path) -> None:
    agents = '[agents.analysis]\nhands_off_to = ["summarizer"]\n'
    both = calls("calculate", '{"expression": "6*7"}')
    hand_over = calls("hand_off_to_summarizer", "{}")["choices"][0]["message"]["tool_calls"]
    both["choices"][0]["message"]["tool_calls"] += [{**hand_over[0], "id": "call_2"}]
    async with cloud(tmp_path, in_turn(both, completion("In short: 42.")), agents) as (client, model):
        answer = await client.post("/v1/chat/completions", json=ask("6*7?", model="m"))
        assert answer.json()["choices"][0]["message"]["content"] == "In short: 42."
        messages = model.received[-1].json["messages"]
        assert messages[0]["content"].startswith("Summarize what you are given")
        assert [one["content"] for one in messages if one["role"] == "tool"] == ["42", "Done."]
        shown = (await client.get(f"/v1/runs/{answer.headers['wayside-run']}")).json()
        assert set(shown["agents"]) == {"analysis", "summarizer"}
