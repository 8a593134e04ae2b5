"""What a service tells its operator: metrics, one log line a request, traces."""

import asyncio
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, TextIO

import msgspec
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cloud.wire.answers import Documents, Usage, usage_of
from cloud.wire.errors import WaysideError
from cloud.wire.headers import TRACEPARENT, TRACESTATE
from cloud.wire.service.pressure import Pressure

_PROBES = frozenset({"healthz", "readyz", "metrics"})
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(kw_only=True, slots=True)
class Record:
    """What is learned of one request on its way through; becomes its metrics and its log line."""

    request_id: str
    method: str
    endpoint: str = "other"
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    tenant: str | None = None
    route: str | None = None
    provider: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None
    first_byte_ms: float | None = None
    trace_id: str | None = None
    trace_headers: Mapping[str, str] = field(default_factory=dict)
    """W3C headers to continue this request's trace at the next hop."""

    def used(self, usage: Usage | None) -> None:
        """So many tokens; None says nothing."""
        if usage is not None:
            self.input_tokens, self.output_tokens = usage.prompt_tokens, usage.completion_tokens

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


def record_of(scope: MutableMapping[str, Any]) -> Record:
    """The record that the intake opened for this request."""
    record = scope["wayside.record"]
    assert isinstance(record, Record)
    return record


class Metrics:
    """Prometheus series of one service; a registry of its own, so that two can share a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        requests = Counter(
            "wayside_requests",
            "Requests answered",
            ["endpoint", "route", "status", "provider"],
            registry=self.registry,
        )
        seconds = Histogram(
            "wayside_request_seconds",
            "Time to the last byte, seconds",
            ["endpoint", "route", "provider"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        first_byte = Histogram(
            "wayside_first_byte_seconds",
            "Time to the first byte of a chat answer, seconds",
            ["route", "provider"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        tokens = Counter(
            "wayside_tokens",
            "Tokens as reported by the provider",
            ["direction", "provider"],
            registry=self.registry,
        )
        # `labels` checks and locks on every call; there are as many children as series, and no more.
        self._requests = cache(requests.labels)
        self._seconds = cache(seconds.labels)
        self._first_byte = cache(first_byte.labels)
        self._tokens = cache(tokens.labels)
        self.in_flight = Gauge(
            "wayside_requests_in_flight", "Requests being answered", registry=self.registry
        )
        self.pressure = Pressure(self.registry)

    def count(self, record: Record) -> None:
        route, provider = record.route or "none", record.provider or "none"
        self._requests(record.endpoint, route, str(record.status), provider).inc()
        self._seconds(record.endpoint, route, provider).observe(record.elapsed_ms() / 1000)
        if record.first_byte_ms is not None:
            self._first_byte(route, provider).observe(record.first_byte_ms / 1000)
        if record.input_tokens is not None:
            self._tokens("input", provider).inc(record.input_tokens)
        if record.output_tokens is not None:
            self._tokens("output", provider).inc(record.output_tokens)


def _now() -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, part = divmod(time.time(), 1)
    return f"{_second(int(seconds))}.{int(part * 1000):03}+00:00"


@lru_cache(1)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class Log:
    """JSON lines on standard output. Never a message text, never a key."""

    def __init__(
        self, *, service: str, requests: bool = True, out: TextIO | None = None, gather_s: float = 0.05
    ) -> None:
        """Lines are gathered for `gather_s` seconds and written in one go: under load the write is the
        dearest part of a line."""
        self._service = service
        self._requests = requests
        self._out = out if out is not None else sys.stdout
        self._gather_s = gather_s
        self._gathered: list[bytes] = []

    def request(self, record: Record) -> None:
        # A probe that finds everything well, every few seconds, would bury the rest.
        if not self._requests or (record.endpoint in _PROBES and record.status == 200):
            return
        self._write(
            {
                "time": _now(),
                "service": self._service,
                "request_id": record.request_id,
                "tenant": record.tenant,
                "method": record.method,
                "endpoint": record.endpoint,
                "route": record.route,
                "status": record.status,
                "ms": round(record.elapsed_ms(), 2),
                "first_byte_ms": None if record.first_byte_ms is None else round(record.first_byte_ms, 2),
                "provider": record.provider,
                "model": record.model,
                "input_tokens": record.input_tokens,
                "output_tokens": record.output_tokens,
                "error": record.error,
                "trace_id": record.trace_id,
            }
        )

    def event(self, name: str, **fields: Any) -> None:
        """Something that is not a request: started, stopped, failed."""
        self._write({"time": _now(), "service": self._service, "event": name, **fields})

    def _write(self, line: dict[str, Any]) -> None:
        self._gathered.append(msgspec.json.encode(line))
        if len(self._gathered) > 1:
            return  # the write that is due will take it along
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            loop.call_later(self._gather_s, self.flush)

    def flush(self) -> None:
        self._out.write(b"\n".join([*self._gathered, b""]).decode())
        self._out.flush()
        self._gathered.clear()


_is_traceparent = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?").fullmatch


def trace_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The caller's trace, if it is one, to be passed on as it came where no span of ours continues it."""
    if TRACEPARENT not in headers or not _is_traceparent(headers[TRACEPARENT]):
        return {}
    kept = {name: headers[name] for name in (TRACEPARENT, TRACESTATE) if name in headers}
    return {name: value for name, value in kept.items() if value.isascii()}


class Tracing:
    """OpenTelemetry spans, or nothing but the caller's trace headers when no exporter is set."""

    def __init__(self, *, tracer: Tracer | None, record_content: bool = False) -> None:
        self._tracer = tracer
        self.record_content = record_content

    @property
    def is_on(self) -> bool:
        return self._tracer is not None

    @contextmanager
    def server_span(self, name: str, record: Record, headers: Mapping[str, str]) -> Iterator[None]:
        """The span of one request, continuing the caller's trace (W3C Trace Context). Only when on."""
        assert self._tracer is not None
        with self._tracer.start_as_current_span(
            name, context=propagate.extract(headers), kind=SpanKind.SERVER
        ) as span:
            record.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            span.set_attribute("wayside.request_id", record.request_id)
            try:
                yield
            finally:
                span.set_attribute("http.response.status_code", record.status)
                if record.error is not None:
                    span.set_status(Status(StatusCode.ERROR, record.error))

    def start_call(self, name: str, attributes: Mapping[str, str | int | float]) -> "CallSpan | None":
        """A span around one call to somebody else; None when nothing is traced. It must be ended."""
        if self._tracer is None:
            return None
        return CallSpan(self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=dict(attributes)))

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, str]) -> Iterator[None]:
        """A span around work of our own; nothing when nothing is traced."""
        if self._tracer is None:
            yield
            return
        with self._tracer.start_as_current_span(name, attributes=dict(attributes)):
            yield

    def current(self) -> SpanContext | None:
        """The span we are in, for others to link to."""
        return None if self._tracer is None else trace.get_current_span().get_span_context()

    def link(self, other: SpanContext | None) -> None:
        """Point from the span we are in to one that did the work."""
        if self._tracer is not None and other is not None:
            trace.get_current_span().add_link(other)

    def event(self, name: str, attributes: Mapping[str, str]) -> None:
        """Note a moment on the span we are in."""
        if self._tracer is not None:
            trace.get_current_span().add_event(name, dict(attributes))


class CallSpan:
    """One call under way: the headers that carry its trace on, and what became of it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.headers: dict[str, str] = {}
        propagate.inject(self.headers, context=trace.set_span_in_context(span))

    def set(self, attributes: Mapping[str, str | int | float]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, error: BaseException) -> None:
        name = (error.code or error.type) if isinstance(error, WaysideError) else type(error).__name__
        self._span.set_status(Status(StatusCode.ERROR, name))
        self._span.set_attribute("error.type", name)

    def end(self) -> None:
        self._span.end()

    def stop(self, error: BaseException) -> None:
        """The call came to nothing."""
        self.fail(error)
        self.end()


class TracedDocuments:
    """An answer inside its call's span, which ends when the answer does."""

    def __init__(self, documents: Documents, span: CallSpan) -> None:
        self._documents = documents
        self._span = span

    def __aiter__(self) -> "TracedDocuments":
        return self

    async def __anext__(self) -> bytes:
        try:
            document = await anext(self._documents)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._span.fail(error)
            raise
        if (usage := usage_of(document)) is not None:
            self._span.set(
                {
                    "gen_ai.usage.input_tokens": usage.prompt_tokens,
                    "gen_ai.usage.output_tokens": usage.completion_tokens,
                }
            )
        return document

    async def aclose(self) -> None:
        try:
            await self._documents.aclose()
        finally:
            self._span.end()


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruments:
    """What watches a service; made before anything is opened, so that start-up is watched too."""

    metrics: Metrics
    log: Log
    tracing: Tracing


def tracer_from_environment(service: str) -> Tracer | None:
    """A tracer that exports over OTLP when OTEL_EXPORTER_OTLP_ENDPOINT is set, else None.

    The SDK is imported only then: it costs 20 MB and a quarter of a second that a node without a
    collector need not pay.
    """
    if not (
        os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    ):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("wayside")
