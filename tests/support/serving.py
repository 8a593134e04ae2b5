"""Runs an app on a real loopback socket, in the test's own event loop."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette

from cloud.wire.service.observe import Instruments, Log, Metrics, Tracing
from cloud.wire.service.server import bind, configuration
from cloud.wire.service.settings import ServiceSettings


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The test runner's signals stay the test runner's."""
        yield


@asynccontextmanager
async def served(app: Starlette, settings: ServiceSettings) -> AsyncIterator[str]:
    """Serve with the production configuration; yields `http://127.0.0.1:PORT`."""
    listener = bind(settings)
    server = _Server(configuration(app, settings))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise AssertionError("the app did not start")
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@dataclass(kw_only=True)
class Watched:
    """Instruments whose log can be read back."""

    out: io.StringIO = field(default_factory=io.StringIO)
    tracing: Tracing = field(default_factory=lambda: Tracing(tracer=None))

    @property
    def instruments(self) -> Instruments:
        return Instruments(
            metrics=Metrics(), log=Log(service="test", out=self.out, gather_s=0), tracing=self.tracing
        )
