"""What the edge can be told, and its defaults."""

import re
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from cloud.wire.service.cli import default_keys_file
from cloud.wire.service.settings import Secret, ServiceSettings, StartUpError
from models.reading.bundle import SHIPPED

_SHIPPED_VERIFIER = SHIPPED.parent / "verifier"


class EdgeSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on")] = 8080
    shed_lag_ms: Annotated[
        float,
        Meta(
            ge=0, description="lateness of the event loop from which requests are told to come back; 0: never"
        ),
    ] = 3.0
    shed_from: Annotated[
        int,
        Meta(
            ge=1,
            description="requests of the last half second that are never told so, however late the loop is",
        ),
    ] = 32
    upstream_url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^\s/]",
            description="base URL that requests are forwarded to, with its /v1; any OpenAI-compatible API",
        ),
    ] = "http://127.0.0.1:8090/v1"
    upstream_key: Annotated[Secret, Meta(description="this edge's own credential at the upstream")] = Secret(
        ""
    )
    upstream_key_file: Annotated[Path | None, Meta(description="file that holds that credential")] = None
    upstream_connect_timeout_s: Annotated[float, Meta(gt=0, description="time to connect, seconds")] = 1.5
    upstream_first_byte_timeout_s: Annotated[
        float, Meta(gt=0, description="longest wait for the first byte of an answer, seconds")
    ] = 120.0
    upstream_stall_timeout_s: Annotated[
        float, Meta(gt=0, description="longest pause inside an answer that has begun, seconds")
    ] = 60.0
    upstream_max_connections: Annotated[int, Meta(ge=1, description="connections to the upstream")] = 512
    max_in_flight: Annotated[
        int, Meta(ge=1, description="requests forwarded at a time, at most upstream_max_connections")
    ] = 512
    max_waiting: Annotated[
        int, Meta(ge=0, description="requests that wait for others to finish before they are forwarded")
    ] = 128
    max_wait_ms: Annotated[int, Meta(ge=0, description="longest wait of such a request, milliseconds")] = 500
    max_reading: Annotated[
        int, Meta(ge=1, description="texts that are read by the model, or wait for it; more are told to wait")
    ] = 32
    coalesce: Annotated[
        bool, Meta(description="let identical requests in flight share one upstream call, and its answer")
    ] = True
    coalesce_buffer_bytes: Annotated[
        int, Meta(ge=0, description="start of a streamed answer that is kept for those who join, bytes")
    ] = 256 * 1024
    breaker_failures: Annotated[
        int, Meta(ge=1, description="consecutive failures of a model that open its breaker")
    ] = 3
    breaker_cool_down_s: Annotated[
        float, Meta(gt=0, description="time from opening to the first probe; doubles to the longest, seconds")
    ] = 5.0
    breaker_longest_cool_down_s: Annotated[
        float, Meta(gt=0, description="longest time between probes of a failing upstream, seconds")
    ] = 20.0
    use_models: Annotated[
        bool, Meta(description="read requests with a model; off, only the exact cache and forwarding work")
    ] = True
    bundle: Annotated[
        Path | None, Meta(description="folder of the model bundle; if unset, the one that came with the edge")
    ] = None
    routes_file: Annotated[
        Path | None, Meta(description="route table, TOML; if unset, the one that came with the edge")
    ] = None
    injection_threshold: Annotated[
        float, Meta(gt=0, le=1, description="probability from which a text counts as an injection")
    ] = 0.5
    exact_cache_max_bytes: Annotated[
        int, Meta(ge=0, description="size of the exact cache on disk, bytes; 0 switches it off")
    ] = 256 * 1024 * 1024
    exact_cache_memory_bytes: Annotated[
        int, Meta(ge=0, description="answers of it that are kept in memory as well, bytes")
    ] = 16 * 1024 * 1024
    semantic_entries_per_tenant: Annotated[
        int, Meta(ge=0, description="most entries of a tenant in the semantic cache; 0 switches it off")
    ] = 100_000
    semantic_min_similarity: Annotated[
        float, Meta(ge=-1, le=1, description="cosine below which a stored question is not even verified")
    ] = 0.65
    verifier_bundle: Annotated[
        Path | None,
        Meta(description="folder of the verifier; if unset, the one that came with the edge, where it did"),
    ] = None
    verifier_threshold: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        Meta(
            description="probability from which one answer serves two questions; if unset, the verifier says"
        ),
    ] = None
    cache_max_wrong_hit_rate: Annotated[
        float, Meta(gt=0, lt=1, description="error budget: share of wrong answers among semantic hits")
    ] = 0.01
    cache_shadow_rate: Annotated[
        float,
        Meta(
            ge=0,
            le=0.2,
            description="share of semantic hits that are forwarded as well, to count the wrong ones",
        ),
    ] = 0.02
    cache_same_answer_similarity: Annotated[
        float, Meta(ge=-1, le=1, description="cosine from which two answers count as saying the same")
    ] = 0.8
    price_input: Annotated[
        float, Meta(ge=0, description="price of a million input tokens, for the metric of money saved")
    ] = 0.0
    price_output: Annotated[
        float, Meta(ge=0, description="price of a million output tokens, for the same")
    ] = 0.0

    @property
    def keys_path(self) -> Path:
        return default_keys_file(self, "edge-keys.json")

    @property
    def bundle_path(self) -> Path:
        return self.bundle or SHIPPED

    @property
    def verifier_path(self) -> Path | None:
        """None where an edge without one answers reworded questions from the guards alone."""
        if self.verifier_bundle is None and not _SHIPPED_VERIFIER.is_dir():
            return None
        return self.verifier_bundle or _SHIPPED_VERIFIER

    @property
    def knowledge_path(self) -> Path:
        return self.data_dir / "knowledge.json"

    def upstream_credential(self) -> Secret:
        """The credential itself, from whichever of the two settings holds it."""
        if self.upstream_key or self.upstream_key_file is None:
            return _sendable(self.upstream_key, "upstream_key")
        name = f"upstream_key_file {self.upstream_key_file}"
        try:
            credential = Secret(self.upstream_key_file.read_text("utf-8").strip())
        except OSError as error:
            raise StartUpError(f"cannot read {name}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise StartUpError(f"{name} is not a text file") from error
        if not credential:
            raise StartUpError(f"{name} is empty")
        return _sendable(credential, name)


def _sendable(credential: Secret, name: str) -> Secret:
    if not re.fullmatch(r"[!-~]*", credential.reveal()):
        raise StartUpError(f"{name} holds characters that no Authorization header can carry")
    return credential
