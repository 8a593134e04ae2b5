"""Conversations that the cloud keeps, from a client through the edge to the provider and back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.stack import Stack, ask, running

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


async def test_a_long_conversation_is_folded_and_its_beginning_is_still_in_the_prompt(tmp_path: Path) -> None:
    key = key_of(tmp_path)
    settings = {"session_prompt_tokens": 2000, "compaction_poll_s": 0.05}
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
            assert any("Ada Lovelace" in fact["text"] for fact in state["facts"]), json.dumps(state)
            shown = (await cloud.get(f"/v1/sessions/{session}")).json()
            assert shown["tokens"]["saved"] > 0
