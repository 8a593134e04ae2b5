"""Budgets of tenants, over HTTP."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.support.stack import ask
from tests.support.upstream import completion
from tests.system.test_agents import calls, cloud, in_turn

pytestmark = pytest.mark.anyio

CHAT = {"wayside-agent": "chat"}


def budgets(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "budgets.toml"
    file.write_text(text, "utf-8")
    return file


async def test_what_is_left_is_told_with_each_answer_and_too_much_is_a_429(tmp_path: Path) -> None:
    file = budgets(tmp_path, "[tenants.acme]\nrequests_per_minute = 2\ntokens_per_day = 100000\n")
    async with cloud(tmp_path, in_turn(completion("hi")), budgets_file=file) as (client, model):
        answers: list[httpx.Response] = [
            await client.post("/v1/chat/completions", json=ask("hi", model="m"), headers=CHAT)
            for _ in range(3)
        ]
        statuses = [answer.status_code for answer in answers]
        assert statuses in ([200, 200, 429], [200, 200, 200])  # a minute may end in between
        assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
        assert int(answers[0].headers["x-ratelimit-remaining-tokens"]) <= 100000
        if statuses[-1] == 429:
            assert int(answers[-1].headers["retry-after"]) <= 60
            assert answers[-1].json()["error"]["code"] == "rate_limit_exceeded"
            assert len(model.received) == 2


async def test_64_requests_at_once_on_a_budget_worth_ten_overrun_it_by_no_call(tmp_path: Path) -> None:
    # Three tokens a call by the model's count; what is reserved is more, so fewer may pass at once, never more.
    file = budgets(tmp_path, "[default]\ntokens_per_day = 30\n")
    async with cloud(tmp_path, in_turn(completion("hi")), budgets_file=file, budget_reserve_tokens=1) as (
        client,
        model,
    ):
        body = ask("h", model="m", max_tokens=1)
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=body, headers=CHAT) for _ in range(64))
        )
        statuses = {answer.status_code for answer in answers}
        assert statuses <= {200, 429}
        assert 429 in statuses
        assert len(model.received) <= 11


async def test_a_run_that_meets_the_end_of_its_tenants_budget_says_what_it_found(tmp_path: Path) -> None:
    file = budgets(tmp_path, "[default]\ntokens_per_day = 1500\n")
    found = calls("calculate", '{"expression": "6*7"}')
    found["usage"] = {"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005}
    async with cloud(
        tmp_path, in_turn(found, completion("42")), budgets_file=file, budget_reserve_tokens=10
    ) as (client, model):
        answer = await client.post("/v1/chat/completions", json=ask("6*7", model="m"))
        assert answer.status_code == 200
        assert "42" in answer.json()["choices"][0]["message"]["content"]
        assert "budget" in answer.json()["choices"][0]["message"]["content"]
        assert len(model.received) == 1


async def test_usage_is_told_to_its_tenant(tmp_path: Path) -> None:
    async with cloud(tmp_path, in_turn(completion("hi"))) as (client, _):
        await client.post("/v1/chat/completions", json=ask("hi", model="m"), headers=CHAT)
        used = (await client.get("/v1/usage")).json()
        assert used["tenant"] == "acme"
        assert used["totals"]["calls"] == 1
        assert (used["data"][0]["agent"], used["data"][0]["model"]) == ("chat", "m")
        other = (await client.get("/v1/usage", headers={"wayside-tenant": "other"})).json()
        assert other["data"] == []
        assert (await client.get("/v1/usage?days=0")).status_code == 400
