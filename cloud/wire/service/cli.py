"""The command line both services have: serve (the default), and keys add, list, revoke."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, get_args

import msgspec

from cloud.wire.keys import Limits, Role
from cloud.wire.service import settings as reading
from cloud.wire.service.keyfile import KeyFile
from cloud.wire.service.settings import ServiceSettings, SettingsT, StartUpError


@dataclass(frozen=True, kw_only=True, slots=True)
class Command(Generic[SettingsT]):
    """A command that one service has and the other has not."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser, argparse.ArgumentParser], None]
    """Given its parser, and the settings' flags as a parent for its actions."""
    run: Callable[[SettingsT, Mapping[str, Any]], int]


def run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    *,
    service: str,
    description: str,
    settings: type[SettingsT],
    keys_file: Callable[[SettingsT], Path],
    serve: Callable[[SettingsT], int],
    commands_of_its_own: "Sequence[Command[SettingsT]]" = (),
) -> int:
    """Exit status of one command; what went wrong at start-up is one line on standard error."""
    prefix = f"WAYSIDE_{service.upper()}_"
    parser = argparse.ArgumentParser(
        prog=f"python -m {service}",
        usage=f"python -m {service} [COMMAND ...] [--SETTING VALUE ...]",
        description=description,
        parents=[_settings_flags(service, settings, prefix)],
        # A shortened flag could mean another setting: --upstream-key VALUE is no --upstream-key-file VALUE.
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_keys_command(commands, _settings_flags(service, settings, prefix))
    for command in commands_of_its_own:
        own = commands.add_parser(command.name, help=command.help, allow_abbrev=False)
        command.add_arguments(own, _settings_flags(service, settings, prefix))
    try:
        _refuse_unknown_flags(argv, settings)
        flags = vars(parser.parse_args(argv))
        config = reading.read(
            settings,
            section=service,
            prefix=prefix,
            flags=flags,
            environ=environ,
            config_file=reading.find_config(flags, environ),
        )
        if flags["command"] == "keys":
            return _keys(KeyFile(keys_file(config)), flags)
        for command in commands_of_its_own:
            if flags["command"] == command.name:
                return command.run(config, flags)
        return serve(config)
    except StartUpError as error:
        print(f"wayside {service}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _settings_flags(service: str, settings: type[ServiceSettings], prefix: str) -> argparse.ArgumentParser:
    """The flags of every command. Unset ones stay out of the result, so a command cannot undo another's."""
    flags = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    flags.add_argument(
        "--config",
        metavar="FILE",
        help=f"TOML file whose [{service}] table holds settings [WAYSIDE_CONFIG; default: ./wayside.toml]",
    )
    reading.add_arguments(flags, settings, prefix=prefix)
    return flags


_QUOTAS = {
    "--requests-per-minute": "most requests a minute; an edge refuses more with 429",
    "--requests-per-day": "most requests a day (UTC)",
    "--tokens-per-day": "most tokens a day (UTC) of answers that were not stored ones",
}
_FLAGS = {"--help", "--config", "--tenant", "--role", "--pins"} | set(_QUOTAS)


def _refuse_unknown_flags(argv: Sequence[str], settings: type[ServiceSettings]) -> None:
    """argparse would call the value of a misspelt flag an invalid command, and not name the flag."""
    known = _FLAGS | {"--" + name.replace("_", "-") for name in reading.settable_by_flag(settings)}
    for argument in argv:
        flag = argument.partition("=")[0]
        if flag.startswith("--") and flag not in known:
            raise StartUpError(f"there is no flag {flag}; see --help")


def _add_keys_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", flags: argparse.ArgumentParser
) -> None:
    keys = commands.add_parser("keys", help="add, list or revoke API keys")
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it, once", parents=[flags], allow_abbrev=False)
    add.add_argument("--tenant", required=True, help="whose requests the key's are")
    add.add_argument(
        "--role",
        choices=get_args(Role),
        default="client",
        help="edge: may speak for any tenant (default: client)",
    )
    add.add_argument(
        "--pins", action="store_true", help="may choose a request's route with the Wayside-Route header"
    )
    for flag, meaning in _QUOTAS.items():
        add.add_argument(flag, type=_count, metavar="N", help=meaning)
    actions.add_parser(
        "list", help="ids and tenants; keys themselves are not kept", parents=[flags], allow_abbrev=False
    )
    revoke = actions.add_parser("revoke", help="forget a key", parents=[flags], allow_abbrev=False)
    revoke.add_argument("id", help="as `keys list` shows it")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _keys(file: KeyFile, flags: Mapping[str, str]) -> int:
    match flags["action"]:
        case "add":
            role: Role = "edge" if flags["role"] == "edge" else "client"
            asked = {name: flags[name] for name in Limits.__struct_fields__ if name in flags}
            limits = msgspec.convert(asked, Limits)
            print(file.add(tenant=flags["tenant"], role=role, pins=bool(flags.get("pins")), limits=limits))
            print(f"kept hashed in {file.path}; this is the only time it is shown", file=sys.stderr)
        case "list":
            for record in file.records():
                kind = "development" if record.development else record.role
                print(f"{record.id}  {record.tenant}  {kind}  {record.created_at}")
        case "revoke":
            if not file.revoke(flags["id"]):
                raise StartUpError(f"there is no key {flags['id']} in {file.path}")
            print(f"revoked {flags['id']}", file=sys.stderr)
    return 0


def default_keys_file(settings: ServiceSettings, name: str) -> Path:
    return settings.keys_file or settings.data_dir / name


def require_keys(file: KeyFile, *, service: str, is_loopback: bool) -> None:
    """Refuse to start open: without a key nobody could, or everybody would, be let in."""
    records = file.records()
    remedy = f"make one: python -m {service} keys add --tenant NAME"
    if not records:
        raise StartUpError(f"no API key in {file.path}; {remedy}")
    if not is_loopback and all(record.development for record in records):
        raise StartUpError(f"development keys work on a loopback bind only; {remedy}")
