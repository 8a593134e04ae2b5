"""Starts the edge, or manages its keys: `python -m edge --help`."""

import os
import sys
from collections.abc import Sequence

from cloud.wire.service import cli, process
from cloud.wire.service.keyfile import KeyFile
from edge import knowledge_command
from edge.app import create_app
from edge.settings import EdgeSettings


def start(settings: EdgeSettings) -> int:
    return process.start(
        settings,
        service="edge",
        keys=KeyFile(settings.keys_path),
        check=settings.upstream_credential,
        create_app=create_app,
        upstream=settings.upstream_url,
    )


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
