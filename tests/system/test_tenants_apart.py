"""Nobody can tell from an answer, or from how it came about, what another tenant has asked."""

from pathlib import Path

import httpx
import pytest

from cloud.wire.service.keyfile import KeyFile
from tests.support.encoder import FakeEncoder
from tests.support.stack import ask, edge_alone
from tests.support.upstream import answers, completion, fake_upstream
from tests.system.test_exact_cache import stored

pytestmark = pytest.mark.anyio


def way(response: httpx.Response) -> tuple[str, str, list[str]]:
    """Everything that decides how long an answer takes: who gave it, why, and the stages passed."""
    stages = [part.partition(";")[0] for part in response.headers["server-timing"].split(", ")]
    return response.headers["wayside-route"], response.headers["cache-status"], stages


@pytest.mark.parametrize("question", ["What is a monad?", "Please tell me, what is a monad"])
async def test_what_one_tenant_asked_goes_the_way_of_a_new_question_for_another(
    tmp_path: Path, question: str
) -> None:
    other = {"authorization": f"Bearer {KeyFile(tmp_path / 'edge-keys.json').add(tenant='other')}"}
    async with (
        fake_upstream(answers(completion())) as upstream,
        edge_alone(tmp_path, upstream.url, encoder=FakeEncoder()) as stack,
        stack.http() as client,
    ):
        url = "/v1/chat/completions"
        assert (await client.post(url, json=ask("What is a monad?"))).status_code == 200
        await stored(stack, client)
        own = await client.post(url, json=ask(question))
        assert own.headers["wayside-route"] == "cache"
        never_asked = await client.post(url, json=ask("Who wrote Hamlet?"), headers=other)
        asked_by_others = await client.post(url, json=ask(question), headers=other)
    assert way(asked_by_others) == way(never_asked)
    assert len(upstream.received) == 3
