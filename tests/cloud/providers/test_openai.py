"""An OpenAI-compatible provider: what it is sent, what comes back, when it is ready."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cloud.providers.openai import OpenAiProvider
from cloud.wire.errors import DeadlineExceeded, UpstreamRefused, UpstreamUnavailable
from cloud.wire.service.client import Limits, OpenAiClient, new_session
from cloud.wire.service.settings import Secret
from tests.support.cloud_calls import call
from tests.support.upstream import (
    FakeUpstream,
    Script,
    answers,
    chunk,
    completion,
    fake_upstream,
    hangs_up,
    says_nothing,
    streams,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def provided(script: Script) -> AsyncIterator[tuple[OpenAiProvider, FakeUpstream]]:
    limits = Limits()
    async with fake_upstream(script) as upstream, new_session(limits) as session:
        client = OpenAiClient(
            base_url=upstream.url, api_key=Secret("sk-theirs"), limits=limits, session=session
        )
        yield OpenAiProvider(client=client), upstream


async def test_the_request_goes_on_under_the_providers_name_of_the_model_and_nothing_else_changes() -> None:
    async with provided(answers(completion())) as (provider, upstream):
        (document,) = [part async for part in provider.complete(call("hi", future={"k": [1]}, seed=2**65))]
    assert json.loads(document) == completion()
    (request,) = upstream.received
    assert json.loads(request.body) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "hi"}],
        "future": {"k": [1]},
        "seed": 2**65,
    }
    assert request.headers["authorization"] == "Bearer sk-theirs"
    assert request.headers["x-request-id"] == "req_1"
    assert request.headers["traceparent"] == "00-1"


async def test_who_asks_is_none_of_the_providers_business() -> None:
    async with provided(answers(completion())) as (provider, upstream):
        assert [part async for part in provider.complete(call())]
    assert not [name for name in upstream.received[0].headers if name.startswith("wayside-")]


async def test_a_stream_comes_back_event_by_event() -> None:
    sent = [chunk("a", future=1), chunk(finish_reason="stop")]
    async with provided(streams(*sent)) as (provider, _):
        assert [json.loads(part) async for part in provider.complete(call(stream=True))] == sent


async def test_an_answer_left_in_the_middle_stops_the_work() -> None:
    async with provided(streams(chunk("a"), done=False, then="stall")) as (provider, upstream):
        documents = provider.complete(call(stream=True))
        await anext(documents)
        await documents.aclose()
        await upstream.hung_up.wait()


async def test_a_refusal_is_told_as_it_was() -> None:
    error = {"message": "too long", "code": "context_length_exceeded", "type": "t", "param": "messages"}
    async with provided(answers({"error": error}, status=400)) as (provider, _):
        with pytest.raises(UpstreamRefused) as caught:
            await anext(provider.complete(call()))
    assert (caught.value.status, caught.value.error) == (400, error)


async def test_the_calls_deadline_is_the_providers() -> None:
    async with provided(says_nothing) as (provider, _):
        with pytest.raises(DeadlineExceeded):
            await anext(provider.complete(call(within_s=0.1)))


@pytest.mark.parametrize("status", [200, 404])
async def test_a_provider_that_answers_is_ready(status: int) -> None:
    async with provided(answers({"data": []}, status=status)) as (provider, upstream):
        await provider.check()
    assert (upstream.received[0].method, upstream.received[0].path) == ("GET", "/v1/models")


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_provider_that_cannot_answer_is_not_ready(status: int) -> None:
    async with provided(answers({}, status=status)) as (provider, _):
        with pytest.raises(UpstreamUnavailable, match=str(status)):
            await provider.check()


async def test_a_provider_that_hangs_up_is_not_ready() -> None:
    async with provided(hangs_up) as (provider, _):
        with pytest.raises(UpstreamUnavailable):
            await provider.check()
