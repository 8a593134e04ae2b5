"""Starts the edge, or manages its keys: `python -m edge --help`."""

import os
import sys
from collections.abc import Sequence

from cloud.wire.service import cli
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.observe import Instruments, Log, Metrics, Tracing, tracer_from_environment
from cloud.wire.service.server import bind, serve
from cloud.wire.service.settings import writable_folder
from edge import knowledge_command
from edge.app import create_app
from edge.settings import EdgeSettings


def start(settings: EdgeSettings) -> int:
    writable_folder(settings.data_dir)
    cli.require_keys(KeyFile(settings.keys_path), service="edge", is_loopback=settings.is_loopback)
    settings.upstream_credential()
    listener = bind(settings)
    log = Log(service="edge", requests=settings.log_requests)
    tracing = Tracing(tracer=tracer_from_environment("wayside-edge"), record_content=settings.record_content)
    instruments = Instruments(metrics=Metrics(), log=log, tracing=tracing)
    log.event("listening", host=settings.host, port=listener.getsockname()[1], upstream=settings.upstream_url)
    return 0 if serve(create_app(settings, instruments), listener, settings) else 1


def main(argv: Sequence[str]) -> int:
    return cli.run(
        argv,
        os.environ,
        service="edge",
        description="The Wayside edge: an OpenAI-compatible endpoint near its clients.",
        settings=EdgeSettings,
        keys_file=lambda settings: settings.keys_path,
        serve=start,
        commands_of_its_own=(
            cli.Command(
                name="knowledge",
                help="import, check or list the operator's own answers",
                add_arguments=knowledge_command.add_arguments,
                run=knowledge_command.run,
            ),
        ),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
