"""What the cloud can be told, and its defaults."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from cloud.wire.service.cli import default_keys_file
from cloud.wire.service.settings import Secret, ServiceSettings


class CloudSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on")] = 8090
    providers_file: Annotated[
        Path | None, Meta(description="TOML file of providers and models; if unset, the local model alone")
    ] = None

    database_url: Annotated[
        Secret,
        Meta(
            description="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME; if unset, a file in data_dir"
        ),
    ] = Secret("")

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url.reveal() or f"sqlite:///{(self.data_dir / 'cloud.db').absolute()}"

    @property
    def keys_path(self) -> Path:
        return default_keys_file(self, "cloud-keys.json")
