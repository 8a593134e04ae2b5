"""What an operator sees: series by route, status and provider, and one line a request."""

import io
import json

import pytest

from cloud.wire.service.observe import Log, Metrics, Record, Tracing, trace_headers
from cloud.wire.service.relay import note_usage


def answered(**fields: object) -> Record:
    record = Record(request_id="req_1", method="POST", endpoint="chat", status=200)
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_requests_are_counted_by_endpoint_route_status_and_provider() -> None:
    metrics = Metrics()
    for status in (200, 200, 503):
        metrics.count(answered(route="cloud", provider="openai", status=status))
    labels = {"endpoint": "chat", "route": "cloud", "provider": "openai"}
    assert value(metrics, "wayside_requests_total", status="200", **labels) == 2
    assert value(metrics, "wayside_requests_total", status="503", **labels) == 1
    assert value(metrics, "wayside_request_seconds_count", **labels) == 3


def test_what_is_not_known_of_a_request_is_none() -> None:
    metrics = Metrics()
    metrics.count(answered(endpoint="other", status=404))
    labels = {"endpoint": "other", "route": "none", "provider": "none", "status": "404"}
    assert value(metrics, "wayside_requests_total", **labels) == 1


def test_the_first_byte_is_measured_only_where_there_was_one() -> None:
    metrics = Metrics()
    metrics.count(answered(route="cloud", provider="p"))
    metrics.count(answered(route="cloud", provider="p", first_byte_ms=30.0))
    assert value(metrics, "wayside_first_byte_seconds_count", route="cloud", provider="p") == 1
    assert value(metrics, "wayside_first_byte_seconds_bucket", route="cloud", provider="p", le="0.025") == 0
    assert value(metrics, "wayside_first_byte_seconds_bucket", route="cloud", provider="p", le="0.05") == 1


def test_tokens_are_summed_by_direction_and_provider() -> None:
    metrics = Metrics()
    metrics.count(answered(provider="p", input_tokens=3, output_tokens=4))
    metrics.count(answered(provider="p", input_tokens=10))
    assert value(metrics, "wayside_tokens_total", direction="input", provider="p") == 13
    assert value(metrics, "wayside_tokens_total", direction="output", provider="p") == 4


@pytest.mark.parametrize("counts", ['{"prompt_tokens":-1}', '{"completion_tokens":' + "9" * 400 + "}"])
def test_no_count_an_upstream_may_tell_breaks_the_metrics(counts: str) -> None:
    metrics = Metrics()
    record = answered(provider="p")
    note_usage(f'{{"choices":[],"usage":{counts}}}'.encode(), record)
    metrics.count(record)
    assert value(metrics, "wayside_tokens_total", direction="input", provider="p") == 0


def test_two_services_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.in_flight.inc()
    assert value(one, "wayside_requests_in_flight") == 1
    assert value(other, "wayside_requests_in_flight") == 0


def test_a_request_is_one_line_with_every_field() -> None:
    out = io.StringIO()
    record = answered(
        tenant="acme",
        route="cloud",
        provider="p",
        model="m",
        input_tokens=1,
        output_tokens=2,
        first_byte_ms=1.234,
    )
    Log(service="edge", out=out).request(record)
    (line,) = out.getvalue().splitlines()
    fields = json.loads(line)
    assert fields.pop("ms") >= 0
    assert fields.pop("time").endswith("+00:00")
    assert fields == {
        "service": "edge",
        "request_id": "req_1",
        "tenant": "acme",
        "method": "POST",
        "endpoint": "chat",
        "route": "cloud",
        "status": 200,
        "first_byte_ms": 1.23,
        "provider": "p",
        "model": "m",
        "input_tokens": 1,
        "output_tokens": 2,
        "error": None,
        "trace_id": None,
    }


def test_a_name_with_line_breaks_stays_one_line() -> None:
    out = io.StringIO()
    Log(service="edge", out=out).request(answered(model='m\n{"forged":true}\u2028'))
    (line,) = out.getvalue().split("\n")[:-1]
    assert json.loads(line)["model"] == 'm\n{"forged":true}\u2028'


def test_request_lines_can_be_switched_off_and_events_stay() -> None:
    out = io.StringIO()
    log = Log(service="edge", requests=False, out=out)
    log.request(answered())
    log.event("listening", port=1)
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["event"] == "listening"


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("headers", "passed_on"),
    [
        ({}, {}),
        ({"traceparent": PARENT}, {"traceparent": PARENT}),
        ({"traceparent": PARENT, "tracestate": "a=1"}, {"traceparent": PARENT, "tracestate": "a=1"}),
        ({"traceparent": PARENT, "tracestate": "é"}, {"traceparent": PARENT}),
        ({"tracestate": "a=1"}, {}),
        ({"traceparent": "é"}, {}),
        ({"traceparent": "nonsense"}, {}),
    ],
)
def test_without_an_exporter_the_callers_trace_is_passed_on_if_it_is_one(
    headers: dict[str, str], passed_on: dict[str, str]
) -> None:
    assert trace_headers(headers) == passed_on


def test_without_an_exporter_nothing_is_traced() -> None:
    tracing = Tracing(tracer=None)
    assert not tracing.is_on
    assert tracing.start_call("chat", {}) is None


@pytest.mark.parametrize(
    ("endpoint", "status", "is_logged"),
    [("healthz", 200, False), ("readyz", 503, True), ("metrics", 401, True), ("models", 200, True)],
)
def test_only_probes_that_find_everything_well_leave_no_line(
    endpoint: str, status: int, is_logged: bool
) -> None:
    out = io.StringIO()
    Log(service="edge", out=out).request(answered(endpoint=endpoint, status=status))
    assert bool(out.getvalue()) is is_logged
