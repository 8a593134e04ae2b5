"""`python -m edge knowledge import|check|list`: the operator's own answers."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from cloud.wire.service.keyfile import write_private
from cloud.wire.service.settings import StartUpError, writable_folder
from edge.collisions import Similarities, collisions
from edge.known import KnowledgeRefused, Known, dump_known, load_known, read_known
from edge.settings import EdgeSettings

_ALIKE = 0.6


def add_arguments(parser: argparse.ArgumentParser, flags: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    take = actions.add_parser(
        "import", help="take the place of what is known with these files and folders", parents=[flags]
    )
    take.add_argument("files", nargs="+", type=Path, metavar="FILE", help=".md, .jsonl, or a folder of them")
    check = actions.add_parser("check", help="print entries that collide with each other", parents=[flags])
    check.add_argument("files", nargs="*", type=Path, metavar="FILE", help="instead of what is imported")
    actions.add_parser("list", help="print what is known", parents=[flags])


def run(settings: EdgeSettings, flags: Mapping[str, object]) -> int:
    """Exit status: 1 when `check` finds a collision. Raises StartUpError for files it cannot read."""
    try:
        files = flags.get("files")
        paths = list(files) if isinstance(files, list) else []
        known = read_known(paths, now=time.time()) if paths else load_known(settings.knowledge_path)
    except KnowledgeRefused as error:
        raise StartUpError(str(error)) from error
    match flags["action"]:
        case "import":
            writable_folder(settings.data_dir)
            staged = settings.knowledge_path.with_suffix(".new")
            write_private(staged, dump_known(known))
            staged.replace(settings.knowledge_path)
            count = sum(len(one.questions) for one in known)
            print(f"{len(known)} answers to {count} questions; a running edge takes them at its next start")
        case "list":
            for one in known:
                print(_told(one))
        case _:
            found = collisions(known, Similarities(known), least=_ALIKE)
            for collision in found:
                print(f"{collision.similarity:.2f}  {collision.first}  |  {collision.second}")
            print(f"{len(found)} collisions among {len(known)} answers", file=sys.stderr)
            return 1 if found else 0
    return 0


def _told(one: Known) -> str:
    return "  ".join(
        (
            one.questions[0],
            f"+{len(one.questions) - 1}",
            f"until {one.expires}" if one.expires else "for good",
            ",".join(one.tenants) if one.tenants is not None else "everybody",
            one.source,
        )
    ).rstrip()
