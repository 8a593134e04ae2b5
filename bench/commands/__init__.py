"""The subcommands: a module each, that adds itself to the command line."""

from bench.commands import cache, load, overhead, sessions, soak, start

COMMANDS = (load, overhead, soak, start, cache, sessions)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
