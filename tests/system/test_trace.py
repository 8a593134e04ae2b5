"""One trace from the edge to the provider, under the names of the GenAI conventions."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cloud.wire.service.observe import Tracing
from tests.support.serving import Watched
from tests.support.stack import ask, openai_provider, running
from tests.support.upstream import (
    answers,
    by_request,
    chunk,
    completion,
    fake_upstream,
    streams,
)

pytestmark = pytest.mark.anyio

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


class Recorder:
    """Both services' spans, in the order they ended."""

    def __init__(self, *, record_content: bool = False) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(tracer=provider.get_tracer("test"), record_content=record_content)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        kinds = {SpanKind.SERVER: "server", SpanKind.CLIENT: "client"}
        names: Iterator[tuple[str, ReadableSpan]] = (
            (f"{kinds[span.kind]} {span.name}", span) for span in self.exporter.get_finished_spans()
        )
        return dict(names)


@pytest.mark.parametrize("stream", [False, True])
async def test_edge_cloud_and_provider_share_the_callers_trace(tmp_path: Path, stream: bool) -> None:
    edge, cloud = Recorder(), Recorder()
    events = streams(chunk("a"), chunk(finish_reason="stop"), {**chunk(), "choices": [], "usage": USAGE})
    async with (
        fake_upstream(by_request(answers(completion(usage=USAGE)), events)) as upstream,
        running(
            tmp_path,
            providers=openai_provider(upstream.url),
            edge=Watched(tracing=edge.tracing),
            cloud=Watched(tracing=cloud.tracing),
        ) as stack,
        stack.http() as client,
    ):
        headers = {"traceparent": CALLER, "wayside-session": "talk-1"}
        answer = await client.post(
            "/v1/chat/completions", json=ask(model="m", stream=stream), headers=headers
        )
        assert answer.status_code == 200

    of_edge, of_cloud = edge.spans, cloud.spans
    assert list(of_edge) == ["client POST /v1/chat/completions", "server POST /v1/chat/completions"]
    assert list(of_cloud) == ["client chat m", "server POST /v1/chat/completions"]
    line = [
        of_edge["server POST /v1/chat/completions"],
        of_edge["client POST /v1/chat/completions"],
        of_cloud["server POST /v1/chat/completions"],
        of_cloud["client chat m"],
    ]
    trace_ids = {span.context.trace_id for span in line if span.context}
    assert {f"{trace_id:032x}" for trace_id in trace_ids} == {CALLER[3:35]}
    parents = [f"{span.parent.span_id:016x}" for span in line if span.parent]
    ids = [f"{span.context.span_id:016x}" for span in line if span.context]
    assert parents == [CALLER[36:52], *ids[:-1]]
    assert upstream.received[0].headers["traceparent"].split("-")[2] == ids[-1]

    attributes = dict(of_cloud["client chat m"].attributes or {})
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "fake",
        "gen_ai.request.model": "m",
        "gen_ai.conversation.id": "talk-1",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 7,
        "wayside.tenant": "acme",
    }
    assert f'"trace_id":"{CALLER[3:35]}"' in stack.edge.out.getvalue()


async def test_message_texts_stay_off_the_spans_unless_asked_for(tmp_path: Path) -> None:
    for asked in (False, True):
        recorder = Recorder(record_content=asked)
        async with (
            running(tmp_path, cloud=Watched(tracing=recorder.tracing)) as stack,
            stack.http() as client,
        ):
            await client.post("/v1/chat/completions", json=ask("a private matter"))
        told = "".join(span.to_json() for span in recorder.exporter.get_finished_spans())
        assert ("a private matter" in told) is asked


async def test_a_failed_call_is_an_error_on_its_span(tmp_path: Path) -> None:
    recorder = Recorder()
    async with (
        fake_upstream(answers({"error": {"message": "no"}}, status=500)) as upstream,
        running(
            tmp_path, providers=openai_provider(upstream.url), cloud=Watched(tracing=recorder.tracing)
        ) as stack,
        stack.http() as client,
    ):
        await client.post("/v1/chat/completions", json=ask(model="m"))
    span = recorder.spans["client chat m"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "server_error"


async def test_without_an_exporter_the_callers_trace_still_reaches_the_provider(tmp_path: Path) -> None:
    async with (
        fake_upstream(answers(completion())) as upstream,
        running(tmp_path, providers=openai_provider(upstream.url)) as stack,
        stack.http() as client,
    ):
        await client.post("/v1/chat/completions", json=ask(model="m"), headers={"traceparent": CALLER})
    assert upstream.received[0].headers["traceparent"] == CALLER
