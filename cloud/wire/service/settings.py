"""Settings from flags, the environment and TOML, read once at start-up."""

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta


class StartUpError(Exception):
    """The service cannot start; the message says why and what to do, in one line."""


class Secret:
    """A value that does not print."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(***)" if self._value else "Secret(unset)"


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What both services can be told."""

    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on")] = 0
    data_dir: Annotated[Path, Meta(description="folder for everything the service writes")] = Path("data")
    keys_file: Annotated[Path | None, Meta(description="hashed API keys; if unset, in the data folder")] = (
        None
    )
    allowed_hosts: Annotated[
        tuple[str, ...], Meta(description="names a Host header may carry, comma-separated; * for any")
    ] = ("localhost", "127.0.0.1", "[::1]")
    metrics_open: Annotated[
        bool | None, Meta(description="serve /metrics without a key; if unset, on a loopback bind only")
    ] = None
    max_requests: Annotated[
        int, Meta(ge=1, description="requests answered at a time; more are told to come back")
    ] = 1024
    shed_lag_ms: Annotated[
        float,
        Meta(
            ge=0, description="lateness of the event loop from which requests are told to come back; 0: never"
        ),
    ] = 10.0
    shed_from: Annotated[
        int,
        Meta(
            ge=1,
            description="requests of the last half second that are never told so, however late the loop is",
        ),
    ] = 128
    max_connections: Annotated[
        int, Meta(ge=1, description="open client connections; more are told to come back")
    ] = 4096
    max_body_bytes: Annotated[int, Meta(ge=1, description="largest request body, bytes")] = 4 * 1024 * 1024
    max_json_depth: Annotated[int, Meta(ge=1, le=500, description="deepest nesting of a body, levels")] = 64
    max_header_bytes: Annotated[int, Meta(ge=256, description="largest request head, bytes")] = 32 * 1024
    max_headers: Annotated[int, Meta(ge=8, description="most header fields of a request")] = 100
    header_timeout_s: Annotated[float, Meta(gt=0, description="time to send a request head, seconds")] = 10.0
    body_timeout_s: Annotated[float, Meta(gt=0, description="time to send a request body, seconds")] = 20.0
    body_stall_timeout_s: Annotated[float, Meta(gt=0, description="longest pause inside a body, seconds")] = (
        5.0
    )
    default_deadline_ms: Annotated[
        int, Meta(ge=1, description="time for a whole answer when the client names none, milliseconds")
    ] = 120_000
    max_deadline_ms: Annotated[
        int, Meta(ge=1, description="longest time a client may ask for, milliseconds")
    ] = 600_000
    shutdown_grace_s: Annotated[
        int, Meta(ge=0, description="time requests in flight get at shutdown, seconds")
    ] = 10
    log_requests: Annotated[bool, Meta(description="one JSON line a request on standard output")] = True
    record_content: Annotated[
        bool, Meta(description="put message texts on trace spans; off protects your users")
    ] = False

    @property
    def is_loopback(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def serves_metrics_openly(self) -> bool:
        return self.is_loopback if self.metrics_open is None else self.metrics_open


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def add_arguments(parser: argparse.ArgumentParser, cls: type[ServiceSettings], *, prefix: str) -> None:
    """One flag a setting, with its environment variable and default in the help."""
    hints = get_type_hints(cls, include_extras=True)
    group = parser.add_argument_group(
        "settings", "Each is a flag, an environment variable or a key of the TOML file, in that order."
    )
    with_flag = settable_by_flag(cls)
    secrets = []
    for field in msgspec.structs.fields(cls):
        described = _description(hints[field.name])
        told = f"[{prefix}{field.name.upper()}; default: {_shown(field.default)}]"
        if field.name not in with_flag:
            secrets.append(f"{described} {told}")
            continue
        flag = "--" + field.name.replace("_", "-")
        group.add_argument(flag, dest=field.name, metavar="VALUE", help=f"{described} {told}")
    if secrets:
        parser.add_argument_group("secrets, which are settings without a flag", "; ".join(secrets))


def settable_by_flag(cls: type[ServiceSettings]) -> frozenset[str]:
    """Every setting but the secrets: a flag would show them to everyone who lists processes."""
    fields = msgspec.structs.fields(cls)
    return frozenset(field.name for field in fields if not isinstance(field.default, Secret))


def read(
    cls: type[SettingsT],
    *,
    section: str,
    prefix: str,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config_file: Path | None,
) -> SettingsT:
    """Build the settings: a flag wins over the environment, that over the file, that over the default.

    Raises StartUpError naming the flag, variable or key that is wrong.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in _from_file(config_file, section).items():
        values[name], origins[name] = value, f"{config_file}: [{section}] {name}"
    hints = get_type_hints(cls)
    known = {field.name for field in msgspec.structs.fields(cls)}
    if unknown := sorted(values.keys() - known):
        raise StartUpError(f"{config_file}: [{section}] has no setting `{unknown[0]}`; see --help")
    for name in known:
        variable = prefix + name.upper()
        if variable in environ:
            values[name], origins[name] = _split(environ[variable], hints[name]), variable
        flag = flags.get(name)
        if flag is not None:
            values[name], origins[name] = _split(flag, hints[name]), "--" + name.replace("_", "-")
    try:
        return msgspec.convert(values, cls, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$.")
        name = path.rstrip("`").split("[")[0]
        raise StartUpError(f"{origins.get(name, name)}: {what[:1].lower()}{what[1:]}") from error


def _description(hint: Any) -> str:
    return next(str(meta.description) for meta in hint.__metadata__ if isinstance(meta, Meta))


def _from_file(path: Path | None, section: str) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        table = tomllib.loads(path.read_text("utf-8")).get(section, {})
    except OSError as error:
        raise StartUpError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartUpError(f"{path}: {error}") from error
    if not isinstance(table, dict):
        raise StartUpError(f"{path}: [{section}] must be a table")
    return table


def _split(text: str, hint: Any) -> Any:
    """A comma-separated list for list settings; the empty string unsets an optional one."""
    if hint == tuple[str, ...]:
        return [part.strip() for part in text.split(",") if part.strip()]
    return None if text == "" and NoneType in get_args(hint) else text


def _decode(cls: type, value: Any) -> Any:
    if cls is Path or cls is Secret:
        if not isinstance(value, str):
            raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
        return cls(value)
    raise NotImplementedError(f"no setting has the type {cls}")


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    if default is None or default == "" or isinstance(default, Secret):
        return "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def find_config(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Path | None:
    """The TOML file in use: `--config`, else WAYSIDE_CONFIG, else ./wayside.toml if it is there."""
    named = flags.get("config") or environ.get("WAYSIDE_CONFIG")
    if named:
        return Path(named)
    default = Path("wayside.toml")
    return default if default.is_file() else None


def writable_folder(path: Path) -> Path:
    """Make the folder, private to its owner, and prove that it can be written."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StartUpError(f"cannot write to the data folder {path}: {error.strerror}") from error
    return path
