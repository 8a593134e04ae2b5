"""Starts the cloud, or manages its keys: `python -m cloud --help`."""

import os
import sys

from cloud import catalog
from cloud.app import create_app
from cloud.settings import CloudSettings
from cloud.wire.service import cli
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.observe import Instruments, Log, Metrics, Tracing, tracer_from_environment
from cloud.wire.service.server import bind, serve
from cloud.wire.service.settings import writable_folder


def start(settings: CloudSettings) -> int:
    writable_folder(settings.data_dir)
    cli.require_keys(KeyFile(settings.keys_path), service="cloud", is_loopback=settings.is_loopback)
    catalog.read(settings.providers_file)
    listener = bind(settings)
    log = Log(service="cloud", requests=settings.log_requests)
    tracing = Tracing(tracer=tracer_from_environment("wayside-cloud"), record_content=settings.record_content)
    instruments = Instruments(metrics=Metrics(), log=log, tracing=tracing)
    log.event("listening", host=settings.host, port=listener.getsockname()[1])
    return 0 if serve(create_app(settings, instruments), listener, settings) else 1


if __name__ == "__main__":
    sys.exit(
        cli.run(
            sys.argv[1:],
            os.environ,
            service="cloud",
            description="The Wayside cloud: the same OpenAI-compatible API, answered by model providers.",
            settings=CloudSettings,
            keys_file=lambda settings: settings.keys_path,
            serve=start,
        )
    )
