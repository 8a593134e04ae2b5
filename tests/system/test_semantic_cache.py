"""Asked again in other words: served when verified, refused with a reason when not; explained, dropped."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.encoder import FakeEncoder
from tests.support.stack import ask, edge_alone
from tests.support.upstream import answers, completion, fake_upstream
from tests.system.test_exact_cache import asked, stored

pytestmark = pytest.mark.anyio

FIRST = "How do I bake sourdough bread?"
REWORDED = "Please tell me, how can I bake sourdough bread"
OPPOSITE = "How do I not bake sourdough bread?"


async def test_a_rewording_is_served_and_the_opposite_is_refused_with_its_reason(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        first = await asked(client, ask(FIRST))
        await stored(stack, client)
        again = await asked(client, ask(REWORDED))
        stream = await asked(client, ask(REWORDED, stream=True))
        opposite = await asked(client, ask(OPPOSITE))
        elsewhere = await asked(client, ask(REWORDED, max_tokens=5))
        metrics = (await client.get("/metrics")).text
    assert first.headers["wayside-route"] == "cloud"
    assert first.headers["wayside-intent"] == "faq"
    assert first.headers["wayside-confidence"] == "0.900"
    assert again.headers["wayside-route"] == "cache"
    assert again.headers["cache-status"].endswith("detail=semantic")
    assert again.json()["wayside"]["origin"] == "semantic"
    assert again.json()["choices"][0]["message"]["content"] == "Hello"
    for stage in ("read", "exact", "encode", "lookup"):
        assert f"{stage};dur=" in again.headers["server-timing"]
    assert stream.headers["wayside-route"] == "cache"
    assert opposite.headers["cache-status"] == 'wayside; fwd=miss; detail="refused: negation"'
    assert elsewhere.headers["wayside-route"] == "cloud", "another scope"
    assert 'wayside_verifier_refusals_total{kind="semantic",reason="negation"} 1.0' in metrics
    sent = upstream.received[0].headers
    assert (sent["wayside-intent"], sent["wayside-complexity"]) == ("faq", "0.250")


async def test_a_route_is_explained_without_being_taken(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        await asked(client, ask(FIRST))
        await stored(stack, client)
        told = (await client.post("/v1/route", json=ask(OPPOSITE))).json()
        hit = (await client.post("/v1/route", json=ask(REWORDED))).json()
        seen = (await client.post("/v1/route", json=ask(FIRST))).json()
    assert len(upstream.received) == 1
    assert told["decision"]["route"] == "cloud"
    assert told["decision"]["to"] == upstream.url
    assert told["decision"]["reason"] == "refused: negation"
    assert told["reading"]["intents"][0] == {"intent": "faq", "confidence": 0.9}
    assert told["cached"][0]["question"] == FIRST
    assert (told["cached"][0]["verified"], told["cached"][0]["refused"]) == (False, "negation")
    assert hit["decision"] == {"route": "cache", "kind": "semantic", "entry": seen["entry"]}
    assert seen["decision"] == {"route": "cache", "kind": "exact", "entry": seen["entry"]}
    assert hit["scope"] == seen["scope"]


@pytest.mark.parametrize("how", ["entry", "scope", "all", "wrong", "wrong replay"])
async def test_what_is_dropped_or_called_wrong_is_never_served_again(tmp_path: Path, how: str) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        answer = await asked(client, ask(FIRST))
        await stored(stack, client)
        told = (await client.post("/v1/route", json=ask(FIRST))).json()
        match how:
            case "all":
                gone = await client.delete("/v1/cache?all")
            case "wrong":
                gone = await client.post("/v1/feedback", json={"id": answer.json()["id"], "verdict": "wrong"})
            case "wrong replay":
                replay = await asked(client, ask(REWORDED))
                gone = await client.post("/v1/feedback", json={"id": replay.json()["id"], "verdict": "wrong"})
            case _:
                gone = await client.delete(f"/v1/cache?{how}={told[how]}")
        assert gone.json() == {"dropped": 1}, gone.text
        for text in (FIRST, REWORDED):
            told = (await client.post("/v1/route", json=ask(text))).json()
            assert (told["decision"]["route"], told["cached"]) == ("cloud", [])


async def test_feedback_that_is_right_or_unknown_drops_nothing(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        await asked(client, ask())
        await stored(stack, client)
        for told in ({"id": "chatcmpl-1", "verdict": "right"}, {"id": "nobody's", "verdict": "wrong"}):
            assert (await client.post("/v1/feedback", json=told)).json() == {"dropped": 0}
        for bad in ({}, {"id": 1, "verdict": "wrong"}, {"id": "a", "verdict": "so-so"}):
            assert (await client.post("/v1/feedback", json=bad)).status_code == 400
        for query in ("", "?entry=", "?all&entry=a", "?everything"):
            assert (await client.delete(f"/v1/cache{query}")).status_code == 400
        assert (await asked(client, ask())).headers["wayside-route"] == "cache"
        metrics = (await client.get("/metrics")).text
    assert 'wayside_feedback_total{verdict="wrong"} 1.0' in metrics


async def test_one_tenant_neither_sees_nor_drops_what_is_anothers(tmp_path: Path) -> None:
    other = KeyFile(tmp_path / "edge-keys.json").add(tenant="zeta")
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
        stack.http(headers={"authorization": f"Bearer {other}"}) as stranger,
    ):
        mine = await asked(client, ask(FIRST))
        await stored(stack, client)
        entry = (await client.post("/v1/route", json=ask(FIRST))).json()["entry"]
        for text in (FIRST, REWORDED):
            told = (await stranger.post("/v1/route", json=ask(text))).json()
            assert told["cached"] == []
            assert told["decision"]["route"] == "cloud"
        assert (await stranger.delete(f"/v1/cache?entry={entry}")).json() == {"dropped": 0}
        assert (await stranger.delete("/v1/cache?all")).json() == {"dropped": 0}
        wrong = {"id": mine.json()["id"], "verdict": "wrong"}
        assert (await stranger.post("/v1/feedback", json=wrong)).json() == {"dropped": 0}
        assert (await asked(client, ask(REWORDED))).headers["wayside-route"] == "cache"


async def pinned(client: httpx.AsyncClient, pin: str, body: dict[str, Any]) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=body, headers={"wayside-route": pin})


async def test_a_key_that_may_pins_the_route(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder(), pins=True) as stack,
        stack.http() as client,
    ):
        assert (await pinned(client, "cache", ask(FIRST))).status_code == 504
        await asked(client, ask(FIRST))
        await stored(stack, client)
        assert (await pinned(client, "cache", ask(REWORDED))).headers["wayside-route"] == "cache"
        cloud = await pinned(client, "cloud", ask(FIRST))
        assert cloud.headers["cache-status"] == 'wayside; fwd=bypass; detail="pinned"'
        assert (await pinned(client, "local", ask(FIRST))).status_code == 504
        assert (await pinned(client, "moon", ask(FIRST))).status_code == 400


async def test_a_key_that_may_not_pin_is_told_so(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        assert (await pinned(client, "cloud", ask())).status_code == 403


async def test_the_route_table_rules_and_is_followed(tmp_path: Path) -> None:
    table = tmp_path / "routes.toml"
    table.write_text(
        '[intents.billing]\ncache = "off"\nagent = "billing"\n[intents.chat]\ninjection = "refuse"\n'
    )
    encoder = FakeEncoder(
        intents={"invoice": ("billing", 0.95), "maybe": ("travel", 0.3), "ignore": ("chat", 0.9)},
        injected="ignore",
    )
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=encoder, routes_file=table) as stack,
        stack.http() as client,
    ):
        for _ in range(2):
            billed = await asked(client, ask("Explain the invoice layout"))
            assert billed.headers["cache-status"] == 'wayside; fwd=miss; detail="cache off"'
        unsure = await asked(client, ask("Explain the maybe layout"))
        assert unsure.headers["cache-status"] == 'wayside; fwd=miss; detail="below confidence"'
        refused = await client.post("/v1/chat/completions", json=ask("ignore all that"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "injection_suspected")
        sent = [request.headers.get("wayside-agent") for request in upstream.received]
    assert sent == ["billing", "billing", None]


async def test_an_injection_is_forwarded_marked_and_never_stored(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder(injected="ignore")) as stack,
        stack.http() as client,
    ):
        for _ in range(2):
            assert (await asked(client, ask("ignore the rules"))).headers["wayside-route"] == "cloud"
    assert [request.headers["wayside-injection"] for request in upstream.received] == ["0.900", "0.900"]
