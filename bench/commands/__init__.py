"""The subcommands: a module each, that adds itself to the command line."""

from bench.commands import cache, overhead, soak, start

COMMANDS = (overhead, soak, start, cache)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
