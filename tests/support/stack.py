"""Edge and cloud on real sockets, wired as in production, in the test's own event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai

from cloud import app as cloud_app
from cloud.settings import CloudSettings
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.settings import Secret
from edge import app as edge_app
from edge.ports import Encoder
from edge.settings import EdgeSettings
from edge.wiring import open_edge_with
from tests.support.serving import Watched, served

ECHO = """
[providers.script]
kind = "scripted"
[[models]]
name = "echo"
provider = "script"
"""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running pair of services."""

    edge_url: str
    cloud_url: str
    key: str
    edge: Watched
    cloud: Watched

    def http(self, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.key}", **(headers or {})}
        return httpx.AsyncClient(
            base_url=self.edge_url, headers=headers, trust_env=False, timeout=10, **options
        )

    def openai(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.edge_url}/v1", api_key=self.key, max_retries=0, timeout=10)


@asynccontextmanager
async def running(
    tmp_path: Path,
    *,
    providers: str = ECHO,
    edge: Watched | None = None,
    cloud: Watched | None = None,
    edge_settings: dict[str, Any] | None = None,
    cloud_settings: dict[str, Any] | None = None,
) -> AsyncIterator[Stack]:
    edge, cloud = edge or Watched(), cloud or Watched()
    providers_file = tmp_path / "providers.toml"
    providers_file.write_text(providers, "utf-8")
    of_cloud = CloudSettings(
        port=0,
        data_dir=tmp_path,
        providers_file=providers_file,
        **{"durable_runs": False, **(cloud_settings or {})},
    )
    key = KeyFile(tmp_path / "edge-keys.json").add(tenant="acme")
    credential = KeyFile(of_cloud.keys_path).add(tenant="edge-1", role="edge")
    async with served(cloud_app.create_app(of_cloud, cloud.instruments), of_cloud) as cloud_url:
        of_edge = EdgeSettings(
            port=0,
            data_dir=tmp_path,
            upstream_url=f"{cloud_url}/v1",
            upstream_key=Secret(credential),
            # Loading the bundle takes longer than most tests; those about it ask for it.
            **{"use_models": False, **(edge_settings or {})},
        )
        async with served(edge_app.create_app(of_edge, edge.instruments), of_edge) as edge_url:
            yield Stack(edge_url=edge_url, cloud_url=cloud_url, key=key, edge=edge, cloud=cloud)


@asynccontextmanager
async def edge_alone(
    tmp_path: Path,
    upstream_url: str,
    *,
    edge: Watched | None = None,
    encoder: Encoder | None = None,
    pins: bool = False,
    **edge_settings: Any,
) -> AsyncIterator[Stack]:
    """An edge in front of any upstream, with or without an encoder."""
    edge = edge or Watched()
    key = KeyFile(tmp_path / "edge-keys.json").add(tenant="acme", pins=pins)
    settings = EdgeSettings(
        port=0,
        data_dir=tmp_path,
        upstream_url=upstream_url,
        upstream_key=Secret("upstream-key"),
        # Samples are drawn by chance, and are calls of their own; the test's own work makes the loop late that
        # they share. Tests about either ask for it.
        **{"cache_shadow_rate": 0.0, "shed_lag_ms": 0.0, **edge_settings},
    )
    app = edge_app.create_app(settings, edge.instruments, partial(open_edge_with, encoder))
    async with served(app, settings) as edge_url:
        yield Stack(edge_url=edge_url, cloud_url=upstream_url, key=key, edge=edge, cloud=Watched())


def ask(text: str = "hi", **fields: Any) -> dict[str, Any]:
    """A minimal chat completion request."""
    return {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}


def openai_provider(url: str, **options: Any) -> str:
    """A providers file with one model, `m`, behind an OpenAI-compatible URL."""
    lines = "\n".join(f"{name} = {value}" for name, value in options.items())
    return f"""
[providers.fake]
kind = "openai"
base_url = "{url}"
{lines}
[[models]]
name = "m"
provider = "fake"
"""
