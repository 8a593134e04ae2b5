"""Long-term memory over HTTP, as a client uses it, and what a conversation leaves in it."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.stack import Stack, ask, running

pytestmark = pytest.mark.anyio


def client(services: Stack, tmp_path: Path, tenant: str) -> httpx.AsyncClient:
    key = KeyFile(tmp_path / "cloud-keys.json").add(tenant=tenant)
    return httpx.AsyncClient(
        base_url=services.cloud_url, headers={"authorization": f"Bearer {key}"}, trust_env=False
    )


async def found(cloud: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await cloud.get("/v1/memories/search", params=query)
    return [one["text"] for one in answer.json()["data"]]


async def test_memories_are_told_found_listed_forgotten_and_never_shared(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as services,
        client(services, tmp_path, "acme") as acme,
        client(services, tmp_path, "other") as other,
    ):
        told = {"memories": [{"text": "I am allergic to peanuts", "user": "ada"}] * 2}
        answer = await acme.post("/v1/memories", json=told)
        ids = {one["id"] for one in answer.json()["data"]}
        assert (answer.status_code, len(ids)) == (201, 1)
        assert "peanuts" in (await found(acme, query="any allergic reactions?", user="ada"))[0]
        assert await found(other, query="any allergic reactions?", user="ada") == []
        assert (await other.delete(f"/v1/memories/{ids.pop()}")).status_code == 404
        receipt = (await acme.delete("/v1/subjects/ada")).json()
        assert receipt["erased"]["memories"] == 1
        assert await found(acme, query="any allergic reactions?", user="ada") == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"text": ""}, None),
        ({"text": "x" * 300_000, "user": "ada"}, None),
        ({"text": "x", "scope": "user"}, "user"),
        ({"text": "x", "scope": "tenant"}, "source"),
        ({"text": "x", "user": "ada", "vector": [1]}, None),
        ({"memories": []}, None),
    ],
)
async def test_what_cannot_be_remembered_is_refused(
    tmp_path: Path, body: dict[str, Any], param: str | None
) -> None:
    async with running(tmp_path) as services, client(services, tmp_path, "acme") as acme:
        answer = await acme.post("/v1/memories", json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == param


async def test_a_conversation_is_remembered_for_the_person_and_erased_with_them(tmp_path: Path) -> None:
    async with running(tmp_path) as services, client(services, tmp_path, "acme") as acme:
        async with services.http(headers={"wayside-session": "s1"}) as edge:
            body = ask("My order number is QX-7741", user="ada")
            assert (await edge.post("/v1/chat/completions", json=body)).status_code == 200
        for _ in range(100):
            if told := await found(acme, query="What is the order number?", user="ada"):
                break
            await asyncio.sleep(0.02)
        assert "QX-7741" in told[0]
        exported = (await acme.get("/v1/subjects/ada/export")).text
        assert exported.count("QX-7741") >= 2  # the turn, and the memory of it
        await acme.delete("/v1/subjects/ada")
        assert (await acme.get("/v1/subjects/ada/export")).text == ""
        left = [file.name for file in tmp_path.rglob("*.db*") if b"QX-7741" in file.read_bytes()]
        assert left == []


async def test_a_memory_is_revised_and_both_versions_can_be_asked_for(tmp_path: Path) -> None:
    async with (
        running(tmp_path) as services,
        client(services, tmp_path, "acme") as acme,
        client(services, tmp_path, "other") as other,
    ):
        told = {"text": "I live in Leeds", "user": "ada", "said_at": 1000.0}
        memory = (await acme.post("/v1/memories", json=told)).json()["data"][0]["id"]
        new = {"text": "I live in Porto", "valid_from": 2000.0}
        assert (await other.patch(f"/v1/memories/{memory}", json=new)).status_code == 404
        assert (await other.get(f"/v1/memories/{memory}/history")).status_code == 404
        assert (await acme.patch(f"/v1/memories/{memory}", json={"text": ""})).status_code == 400
        answer = await acme.patch(f"/v1/memories/{memory}", json=new)
        assert (answer.status_code, answer.json()["lineage"]) == (200, memory)
        assert "Porto" in (await found(acme, query="Where do I live?", user="ada"))[0]
        assert "Leeds" in (await found(acme, query="Where do I live?", user="ada", as_of=1500.0))[0]
        history = (await acme.get(f"/v1/memories/{memory}/history")).json()["data"]
        assert [(one["text"], one["valid_from"], one["valid_until"]) for one in history] == [
            ("I live in Porto", 2000.0, None),
            ("I live in Leeds", 1000.0, 2000.0),
        ]
        await acme.delete("/v1/subjects/ada")
        assert (await acme.get(f"/v1/memories/{memory}/history")).status_code == 404


async def test_what_was_exported_and_erased_is_taken_back_and_exported_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as services, client(services, tmp_path, "acme") as acme:
        async with services.http(headers={"wayside-session": "s1", "idempotency-key": "k1"}) as edge:
            body = ask("My order number is QX-7741", user="ada")
            assert (await edge.post("/v1/chat/completions", json=body)).status_code == 200
        for _ in range(100):
            if await found(acme, query="What is the order number?", user="ada"):
                break
            await asyncio.sleep(0.02)
        memory = (await acme.get("/v1/memories")).json()["data"][0]["id"]
        await acme.patch(f"/v1/memories/{memory}", json={"text": "My order number is QX-8852"})
        exported = (await acme.get("/v1/subjects/ada/export")).text
        await acme.delete("/v1/subjects/ada")
        answers = [(await acme.post("/v1/subjects/ada/import", content=exported)).json() for _ in range(2)]
        assert [one["new"] for one in answers] == [exported.count("\n"), 0]
        assert (await acme.get("/v1/subjects/ada/export")).text == exported
        async with services.http(headers={"wayside-session": "s1"}) as edge:
            more = await edge.post("/v1/chat/completions", json=ask("And now?", user="ada"))
        assert more.status_code == 200
        assert (await acme.get("/v1/sessions/s1")).json()["turns"] == 4


@pytest.mark.parametrize("body", ["no json", "[]", '{"kind": "dream"}', '{"kind": "memory", "id": "x"}'])
async def test_what_no_export_gives_is_not_taken_in(tmp_path: Path, body: str) -> None:
    async with running(tmp_path) as services, client(services, tmp_path, "acme") as acme:
        assert (await acme.post("/v1/subjects/ada/import", content=body)).status_code == 400
        assert (await acme.get("/v1/subjects/ada/export")).text == ""
