"""Conversations that the cloud keeps, from a client through the edge to the provider and back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.providers.weights import find_weights
from cloud.wire.errors import UpstreamUnavailable
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.settings import Secret
from tests.support.stack import ECHO, Stack, ask, running

pytestmark = pytest.mark.anyio


async def say(http: httpx.AsyncClient, session: str, text: str, **fields: Any) -> httpx.Response:
    answer = await http.post(
        "/v1/chat/completions", json=ask(text, **fields), headers={"wayside-session": session}
    )
    assert answer.status_code == 200, answer.text
    return answer


def key_of(folder: Path, *, tenant: str = "acme") -> str:
    """For the cloud itself, where sessions are shown."""
    return KeyFile(folder / "cloud-keys.json").add(tenant=tenant)


def of_cloud(stack: Stack, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=stack.cloud_url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=10
    )


async def test_a_session_is_made_continued_shown_and_deleted(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    async with running(tmp_path) as stack, stack.http() as http:
        session = (await say(http, "new", "My name is Ada.")).headers["wayside-session"]
        streamed = await say(http, session, "And yours?", stream=True)
        assert streamed.headers["wayside-session"] == session
        assert streamed.text.rstrip().endswith("[DONE]")
        async with of_cloud(stack, key) as cloud:
            shown = (await cloud.get(f"/v1/sessions/{session}")).json()
            assert shown["turns"] == 4
            turns = (await cloud.get(f"/v1/sessions/{session}/turns")).json()
            assert [turn["message"]["content"] for turn in turns["data"]] == [
                "My name is Ada.",
                "You said: My name is Ada.",
                "And yours?",
                "You said: And yours?",
            ]
            assert turns["next"] is None
            assert (await cloud.get("/v1/sessions")).json()["data"] == [shown]
            assert (await cloud.delete(f"/v1/sessions/{session}")).json()["deleted"] is True
            for path in ("", "/turns", "/state"):
                gone = await cloud.get(f"/v1/sessions/{session}{path}")
                assert (gone.status_code, gone.json()["error"]["code"]) == (404, "session_not_found")


async def test_a_long_conversation_is_folded_and_its_beginning_is_still_in_the_prompt(
    tmp_path: Path, database_url: str
) -> None:
    key = key_of(tmp_path)
    settings = {
        "session_prompt_tokens": 2000,
        "compaction_poll_s": 0.05,
        "database_url": Secret(database_url),
    }
    async with running(tmp_path, cloud_settings=settings) as stack, stack.http() as http:
        session = (await say(http, "new", "My name is Ada Lovelace and I am allergic to nuts.")).headers[
            "wayside-session"
        ]
        for number in range(40):
            answer = await say(
                http, session, f"Tell me something about topic number {number}, please, briefly."
            )
            told = dict(part.split("=") for part in answer.headers["wayside-context"].split("; "))
            assert int(told["prompt"]) <= int(told["limit"]) == 2000
            await asyncio.sleep(0.01)
        async with of_cloud(stack, key) as cloud:
            state = (await cloud.get(f"/v1/sessions/{session}/state")).json()
            assert state["version"] >= 2
            assert state["written_by"]["by"] == "extractive"
            assert state["written_by"]["usage"] is None, "rules cost no tokens"
            assert any("Ada Lovelace" in fact["text"] for fact in state["facts"]), json.dumps(state)
            shown = (await cloud.get(f"/v1/sessions/{session}")).json()
            assert shown["tokens"]["saved"] > 0


async def test_to_another_tenant_a_session_is_not_there(tmp_path: Path) -> None:
    theirs = key_of(tmp_path, tenant="zeta")
    async with running(tmp_path) as stack, stack.http() as http:
        session = (await say(http, "our-secret", "My name is Ada.")).headers["wayside-session"]
        async with of_cloud(stack, theirs) as cloud:
            for method, path in (("GET", ""), ("GET", "/turns"), ("GET", "/state"), ("DELETE", "")):
                answer = await cloud.request(method, f"/v1/sessions/{session}{path}")
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "session_not_found")
            assert (await cloud.get("/v1/sessions")).json()["data"] == []
            asked = ask("What is my name?", model="echo")
            own = await cloud.post("/v1/chat/completions", json=asked, headers={"wayside-session": session})
            assert "turns=0" in own.headers["wayside-context"], "the same name, another session"


@pytest.mark.parametrize("path", ["?limit=0x1", "?limit=201", "/s/turns?after=-1", "/s/turns?limit=1e9"])
async def test_a_page_that_makes_no_sense_names_its_parameter(tmp_path: Path, path: str) -> None:
    key = key_of(tmp_path)
    async with running(tmp_path) as stack, of_cloud(stack, key) as cloud:
        answer = await cloud.get(f"/v1/sessions{path}")
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] in ("limit", "after")


async def test_sessions_and_turns_come_by_page(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    async with running(tmp_path) as stack, stack.http() as http, of_cloud(stack, key) as cloud:
        for name in ("a", "b", "c"):
            await say(http, name, "hi")
        first = (await cloud.get("/v1/sessions?limit=2")).json()
        rest = (await cloud.get(f"/v1/sessions?limit=2&after={first['next']}")).json()
        assert [one["id"] for one in (*first["data"], *rest["data"])] == ["a", "b", "c"]
        assert rest["next"] is None
        turns = (await cloud.get("/v1/sessions/a/turns?limit=1")).json()
        assert ([turn["seq"] for turn in turns["data"]], turns["next"]) == ([1], 1)
        turns = (await cloud.get("/v1/sessions/a/turns?limit=1&after=1")).json()
        assert ([turn["seq"] for turn in turns["data"]], turns["next"]) == ([2], None)


async def test_a_second_turn_at_once_is_refused_where_that_is_set(tmp_path: Path) -> None:
    slow = ECHO.replace('kind = "scripted"', 'kind = "scripted"\nfirst_token_ms = 400')
    settings = {"session_conflict": "refuse"}
    async with running(tmp_path, providers=slow, cloud_settings=settings) as stack, stack.http() as http:
        first = asyncio.create_task(say(http, "s", "one"))
        await asyncio.sleep(0.15)
        second = await http.post("/v1/chat/completions", json=ask("two"), headers={"wayside-session": "s"})
        assert (second.status_code, second.json()["error"]["code"]) == (409, "session_conflict")
        await first


async def test_a_process_that_only_answers_leaves_folding_to_a_worker(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    small = {"session_prompt_tokens": 1500, "compaction_poll_s": 0.02}
    async with (
        running(tmp_path, cloud_settings={**small, "process_role": "api"}) as stack,
        stack.http() as http,
    ):
        for number in range(20):
            await say(http, "s", f"Something about number {number}.")
        await asyncio.sleep(0.1)
        async with of_cloud(stack, key) as cloud:
            assert (await cloud.get("/v1/sessions/s/state")).json()["version"] == 0
    async with (
        running(tmp_path, cloud_settings={**small, "process_role": "worker"}) as stack,
        of_cloud(stack, key) as cloud,
        asyncio.timeout(10),
    ):
        while (await cloud.get("/v1/sessions/s/state")).json()["version"] == 0:
            await asyncio.sleep(0.02)


async def test_the_local_model_reads_what_was_counted_and_never_more_than_the_limit(tmp_path: Path) -> None:
    try:
        find_weights(None)
    except UpstreamUnavailable:
        pytest.skip("the local model's weights are not installed; `make setup` does it")
    local = '[providers.here]\nkind = "local"\n[[models]]\nname = "local"\nprovider = "here"\n'
    settings = {"session_prompt_tokens": 220, "compaction_poll_s": 0.05}
    async with running(tmp_path, providers=local, cloud_settings=settings) as stack, stack.http() as http:
        system = {"role": "system", "content": "Be brief."}
        versions = set()
        for number in range(9):
            question = {"role": "user", "content": f"My {number}. favourite number is {number * 37}. Yours?"}
            answer = await http.post(
                "/v1/chat/completions",
                json={"model": "local", "messages": [system, question], "max_tokens": 12},
                headers={"wayside-session": "s"},
                timeout=60,
            )
            told = dict(part.split("=") for part in answer.headers["wayside-context"].split("; "))
            assert answer.json()["usage"]["prompt_tokens"] == int(told["prompt"]) <= int(told["limit"])
            versions.add(told["state"])
        assert len(versions) > 1
