"""Starts a service: what must be true first, then its socket, its instruments, its app."""

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.types import ASGIApp

from cloud.wire.service.cli import require_keys
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.observe import Instruments, Log, Metrics, Tracing, tracer_from_environment
from cloud.wire.service.server import bind, serve
from cloud.wire.service.settings import SettingsT, writable_folder

_SWITCH_S = 0.0002
"""How long a thread that has read a text or a row may wait for a busy event loop to let it go on. With
Python's 5 ms each statement of a transaction costs as much."""
_M_ARENA_MAX = -8
"""mallopt(3). By default each thread has a heap of its own and keeps what it has freed from the others: tens
of megabytes, for threads that wait for each other in any case."""


def start(
    settings: SettingsT,
    *,
    service: str,
    keys: KeyFile,
    check: Callable[[], object],
    create_app: Callable[[SettingsT, Instruments], ASGIApp],
    **told: Any,
) -> int:
    """Run until a signal comes; the exit status.

    `check` is what else the service needs, asked before the port is taken; `told` goes into the log's
    first line. Raises StartUpError.
    """
    sys.setswitchinterval(_SWITCH_S)
    with suppress(AttributeError, OSError):  # a C library that is not glibc
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    writable_folder(settings.data_dir)
    require_keys(keys, service=service, is_loopback=settings.is_loopback)
    check()
    listener = bind(settings)
    log = Log(service=service, requests=settings.log_requests)
    tracing = Tracing(
        tracer=tracer_from_environment(f"wayside-{service}"), record_content=settings.record_content
    )
    instruments = Instruments(metrics=Metrics(), log=log, tracing=tracing)
    log.event("listening", host=settings.host, port=listener.getsockname()[1], **told)
    return 0 if serve(create_app(settings, instruments), listener, settings) else 1
