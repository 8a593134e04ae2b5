"""The subcommands: a module each, that adds itself to the command line."""

from bench.commands import cache, load, memory, overhead, soak, start

COMMANDS = (load, overhead, soak, start, cache, memory)
"""In the order of the help. A module here has `add(commands: Commands) -> None`."""
