"""The operator's databases and MCP servers: a TOML file, read and checked at start-up.

[databases.shop]
url_env = "SHOP_URL"
agents = ["analysis"]
tenants = ["*"]
tables.orders = ["id", "status", "total"]

[mcp.tickets]
command = ["tickets-mcp"]
allowed_tools = ["find", "create"]
agents = ["chat"]
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.tools.mcp_server import Endpoint
from cloud.tools.mcp_tool import function_name
from cloud.wire.service.settings import Secret, StartUpError

Positive = Annotated[float, Meta(gt=0)]
Names = Annotated[list[str], Meta(min_length=1)]


class DatabaseConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A database that agents may read."""

    url_env: str
    """Name of the environment variable that holds the URL; URLs themselves never stand in the file."""
    tables: Annotated[dict[str, Names], Meta(min_length=1)]
    """Of each table the columns that may be read."""
    agents: Names
    tenants: Names
    """Who may ask; `["*"]` is everybody."""
    tenant_column: str | None = None
    """Of every table: a caller sees the rows in which it holds the caller's tenant."""
    schema: str = "public"
    """Of PostgreSQL."""
    description: Annotated[str, Meta(max_length=1_000)] = ""
    timeout_s: Positive = 5.0
    max_rows: Annotated[int, Meta(ge=1, le=10_000)] = 200


class McpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MCP server: a command to start (stdio), or a URL (streamable HTTP)."""

    command: Names | None = None
    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]")] | None = None
    allowed_tools: Names
    agents: Names
    tenants: list[str] = []
    """Who may use it; none given is everybody."""
    env: dict[str, str] = {}
    """Variables of the command, each with the name of the environment variable its value comes from."""
    headers: dict[str, str] = {}
    """Headers of requests to the URL, each with the name of the environment variable its value comes from."""
    timeout_s: Positive = 30.0
    connect_timeout_s: Positive = 10.0
    max_result_bytes: Annotated[int, Meta(ge=1, le=10_000_000)] = 32_768

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either `command` or `url`")
        if (self.url is None and self.headers) or (self.command is None and self.env):
            raise ValueError("`env` goes with `command`, `headers` with `url`")


class ToolsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    databases: dict[str, DatabaseConfig] = {}
    mcp: dict[str, McpConfig] = {}

    def granted(self, agent: str) -> tuple[str, ...]:
        """The names of the tools here that the agent may use."""
        databases = [
            f"query_database__{name}" for name, entry in self.databases.items() if agent in entry.agents
        ]
        servers = [
            function_name(name, tool)
            for name, entry in self.mcp.items()
            if agent in entry.agents
            for tool in entry.allowed_tools
        ]
        return (*databases, *servers)


_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


def read(path: Path | None) -> ToolsFile:
    """The file's content, checked. Raises StartUpError naming the key at fault."""
    if path is None:
        return ToolsFile()
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        for section, kind in (("databases", DatabaseConfig), ("mcp", McpConfig)):
            _check_tables(path, section, document.get(section), kind)
        return msgspec.convert(document, ToolsFile)
    except OSError as error:
        raise StartUpError(f"cannot read the tools file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise StartUpError(f"{path}: {error}") from error


def _check_tables(path: Path, section: str, tables: object, kind: type[msgspec.Struct]) -> None:
    """One by one, since an error in a table of tables does not say in which."""
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if not _NAME.fullmatch(name):
            raise StartUpError(
                f"{path}: [{section}.{name}] the name must be a-z, 0-9 and _, at most 31 letters"
            )
        try:
            msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            raise StartUpError(f"{path}: [{section}.{name}] {error}") from error


def database_url(name: str, config: DatabaseConfig) -> Secret:
    return Secret(_variable(f"[databases.{name}] url_env", config.url_env))


def endpoint(name: str, config: McpConfig) -> Endpoint:
    """Raises StartUpError where a variable is not set."""

    def filled(key: str, names: Mapping[str, str]) -> dict[str, str]:
        return {
            entry: _variable(f"[mcp.{name}] {key}.{entry}", variable) for entry, variable in names.items()
        }

    return Endpoint(
        command=config.command or (),
        environment=filled("env", config.env),
        url=config.url or "",
        headers=filled("headers", config.headers),
        connect_timeout_s=config.connect_timeout_s,
    )


def _variable(where: str, variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise StartUpError(f"{where}: the environment variable {variable} is not set")
    return value
