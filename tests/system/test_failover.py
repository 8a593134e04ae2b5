"""A provider that fails, behind the real gateway, over real sockets: what the caller sees."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.stack import Stack, ask, running
from tests.support.upstream import (
    FakeUpstream,
    Script,
    answers,
    by_request,
    chunk,
    completion,
    fake_upstream,
    hangs_up,
    says_nothing,
    streams,
)

pytestmark = pytest.mark.anyio

WHOLE = [chunk("Hello "), chunk("big "), chunk("world"), chunk(None, "stop")]
GOOD = by_request(answers(completion("Hello big world")), streams(*WHOLE))
DOWN = answers({"error": {"message": "down", "code": "overloaded"}}, status=503)


@asynccontextmanager
async def pair(
    tmp_path: Path, primary: Script, backup: Script = GOOD, **model: str
) -> AsyncIterator[tuple[Stack, FakeUpstream, FakeUpstream]]:
    more = "\n".join(f"{name} = {value}" for name, value in model.items())
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(fake_upstream(primary))
        second = await stack.enter_async_context(fake_upstream(backup))
        providers = f"""
[providers.one]
kind = "openai"
base_url = "{first.url}"
stall_timeout_s = 0.3
[providers.two]
kind = "openai"
base_url = "{second.url}"
[[models]]
name = "main"
provider = "one"
fallbacks = ["spare"]
{more}
[[models]]
name = "spare"
provider = "two"
prefill = true
"""
        settings = {"provider_retry_wait_ms": 5, "provider_first_token_s": 0.3, "breaker_cool_down_s": 30.0}
        services = await stack.enter_async_context(
            running(tmp_path, providers=providers, cloud_settings=settings)
        )
        yield services, first, second


async def said(services: Stack, text: str = "hi", *, stream: bool) -> tuple[int, str]:
    async with services.http() as client:
        answer = await client.post("/v1/chat/completions", json=ask(text, model="main", stream=stream))
        return answer.status_code, answer.text


@pytest.mark.parametrize("fault", [DOWN, hangs_up, says_nothing], ids=["503", "reset", "silence"])
async def test_a_stream_that_fails_early_begins_once_at_the_fallback(tmp_path: Path, fault: Script) -> None:
    async with pair(tmp_path, fault) as (services, _, second):
        status, text = await said(services, stream=True)
        assert status == 200
        assert text.count("Hello ") == 1
        assert text.rstrip().endswith("data: [DONE]")
        assert len(second.received) == 1


async def test_a_plain_answer_fails_over_too(tmp_path: Path) -> None:
    async with pair(tmp_path, DOWN) as (services, first, _):
        status, text = await said(services, stream=False)
        assert (status, "Hello big world" in text) == (200, True)
        assert len(first.received) == 2  # one retry


async def test_a_stream_cut_after_its_beginning_is_gone_on_with_from_the_exact_text(tmp_path: Path) -> None:
    cut = streams(*WHOLE[:2], done=False, then="cut")
    rest = streams(chunk("world"), chunk(None, "stop"))
    async with pair(tmp_path, cut, rest) as (services, _, second):
        _, text = await said(services, stream=True)
        prefill = second.received[0].json["messages"][-1]
        assert prefill == {"role": "assistant", "content": "Hello big "}
        assert second.received[0].json["continue_final_message"] is True
        assert text.count('"content":"Hello ') == 1
        assert '"content":"world"' in text
        assert text.rstrip().endswith("data: [DONE]")


@pytest.mark.parametrize("then", ["cut", "stall"])
async def test_what_nobody_can_go_on_with_ends_in_an_error_and_never_looks_whole(
    tmp_path: Path, then: str
) -> None:
    broken = streams(*WHOLE[:2], done=False, then=then)
    rejects = answers({"error": {"message": "no prefill", "code": "bad"}}, status=400)
    async with pair(tmp_path, broken, rejects) as (services, _, _):
        _, text = await said(services, stream=True)
        assert '"error"' in text
        assert "[DONE]" not in text


async def test_a_model_held_back_until_it_is_whole_fails_over_without_a_trace(tmp_path: Path) -> None:
    cut = streams(chunk("Wrong "), chunk("words "), done=False, then="cut")
    async with pair(tmp_path, cut, buffered="true") as (services, _, _):
        _, text = await said(services, stream=True)
        assert "Wrong" not in text
        assert text.rstrip().endswith("data: [DONE]")


async def test_the_silence_of_a_model_held_back_is_noticed_as_soon_as_any_others(tmp_path: Path) -> None:
    async with pair(tmp_path, says_nothing, buffered="true") as (services, _, second):
        _, text = await said(services, stream=True)
        assert text.rstrip().endswith("data: [DONE]")
        assert len(second.received) == 1


async def test_a_model_held_back_may_take_its_time_once_it_speaks(tmp_path: Path) -> None:
    slow = streams(*WHOLE, pause_s=0.2)  # 0.8 s in all, with 0.3 s of patience for the first
    async with pair(tmp_path, slow, DOWN, buffered="true") as (services, first, second):
        _, text = await said(services, stream=True)
        assert text.rstrip().endswith("data: [DONE]")
        assert (len(first.received), len(second.received)) == (1, 0)


async def test_a_refused_prompt_is_nobody_elses(tmp_path: Path) -> None:
    refuses = answers({"error": {"message": "no", "code": "content_filter"}}, status=400)
    async with pair(tmp_path, refuses) as (services, first, second):
        status, text = await said(services, stream=False)
        assert (status, "content_filter" in text) == (400, True)
        assert (len(first.received), len(second.received)) == (1, 0)


async def test_the_third_failure_opens_the_breaker_and_the_dead_are_left_alone(tmp_path: Path) -> None:
    async with pair(tmp_path, DOWN) as (services, first, _):
        for number in range(4):
            assert (await said(services, f"question {number}", stream=False))[0] == 200
        assert len(first.received) == 3
