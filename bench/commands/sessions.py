"""`python -m bench sessions`."""

import argparse
from pathlib import Path

from bench.reporting import Commands, Report, command, positive
from cloud.settings import CloudSettings


def add(commands: Commands) -> None:
    parser = command(
        commands, "sessions", "prompts of long conversations; compaction under fire; writes", _run
    )
    parser.add_argument(
        "--turns", type=positive, default=400, help="of the conversation (default: %(default)s)"
    )
    parser.add_argument(
        "--prompt-tokens",
        type=positive,
        default=CloudSettings().session_prompt_tokens,
        help="what a prompt is kept to (default: %(default)s)",
    )
    parser.add_argument("--locomo", type=Path, metavar="FILE", help="conversations in place of a made-up one")
    parser.add_argument(
        "--rounds", type=int, default=500, help="kills a store; 0 for none (default: %(default)s)"
    )
    parser.add_argument("--writers", type=positive, default=32, help="at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")


def _run(asked: argparse.Namespace) -> Report:
    from bench import sessions  # with the databases it stands on: other subcommands need not wait for them

    return sessions.run(asked)
