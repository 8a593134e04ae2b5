"""Starts the cloud, or manages its keys: `python -m cloud --help`."""

import os
import sys

from cloud import catalog
from cloud.app import create_app
from cloud.settings import CloudSettings
from cloud.wire.service import cli, process
from cloud.wire.service.keyfile import KeyFile


def start(settings: CloudSettings) -> int:
    return process.start(
        settings,
        service="cloud",
        keys=KeyFile(settings.keys_path),
        check=lambda: catalog.read(settings.providers_file),
        create_app=create_app,
    )


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
