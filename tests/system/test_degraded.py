"""The cloud is away: stale answers where the route allows them, refusals that say when to come back."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from cloud.wire.keys import Limits
from cloud.wire.service.keyfile import KeyFile
from tests.support.encoder import FakeEncoder
from tests.support.stack import ask, edge_alone
from tests.support.upstream import Received, Script, answers, completion, fake_upstream
from tests.system.test_exact_cache import stored

pytestmark = pytest.mark.anyio

FLEETING = "[default]\nttl_s = 0.001\nstale_s = {stale_s}\nmin_confidence = 0.0\n"


def once(then: Script) -> Script:
    """Answers the first request, and then no other."""
    asked = 0

    async def script(request: Received, writer: Any) -> None:
        nonlocal asked
        asked += 1
        await (answers(completion("Four minutes.")) if asked == 1 else then)(request, writer)

    return script


AWAY = answers({"error": {"message": "x"}}, status=503)


@pytest.mark.parametrize("how", [AWAY, answers(b"<html>")])
@pytest.mark.parametrize(
    ("stale_s", "headers", "status"),
    [
        (60, {}, 200),
        (0, {}, None),
        (60, {"cache-control": "no-cache"}, None),
        (60, {"cache-control": "max-age=60"}, 200),
        (60, {"cache-control": "max-age=0"}, None),
        (60, {"cache-control": "min-fresh=1"}, None),
    ],
)
async def test_a_stale_answer_is_given_where_route_and_client_allow_it(
    tmp_path: Path, stale_s: int, headers: dict[str, str], status: int | None, how: Script
) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(FLEETING.format(stale_s=stale_s), "utf-8")
    async with (
        fake_upstream(once(how)) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder(), routes_file=routes) as stack,
        stack.http() as client,
    ):
        body = ask("How long does an egg take?")
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        await stored(stack, client)
        again = await client.post("/v1/chat/completions", json=body, headers=headers)
        if status is None:
            assert again.status_code in (502, 503)
            return
        assert again.status_code == status, again.text
        assert again.json()["choices"][0]["message"]["content"] == "Four minutes."
        assert again.headers["wayside-route"] == "degraded"
        assert "; stale; detail=exact" in again.headers["cache-status"]
        # What nobody may have any more is not had from here either.
        assert (await client.delete("/v1/cache?all")).status_code == 200
        assert (await client.post("/v1/chat/completions", json=body)).status_code in (502, 503)


async def test_a_key_with_a_quota_is_told_what_is_left_and_then_refused(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url) as stack,
        stack.http() as client,
    ):
        limited = KeyFile(tmp_path / "edge-keys.json").add(tenant="acme", limits=Limits(requests_per_day=1))
        headers = {"authorization": f"Bearer {limited}"}
        for _ in range(300):  # the edge looks at its key file once a second
            first = await client.post("/v1/chat/completions", json=ask(), headers=headers)
            if first.status_code == 200:
                break
            await anyio.sleep(0.01)
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        refused = await client.post("/v1/chat/completions", json=ask(), headers=headers)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["x-ratelimit-limit-requests"] == "1"
        assert (await client.post("/v1/chat/completions", json=ask())).status_code == 200
