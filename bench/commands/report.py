"""`python -m bench report`."""

import argparse
from pathlib import Path

from bench import results
from bench.reporting import CannotRun, Commands, Report, command

RESULTS = Path(__file__).resolve().parent.parent / "results"


def add(commands: Commands) -> None:
    parser = command(commands, "report", "one page of all results: HTML and Markdown", _run)
    parser.add_argument(
        "folder", type=Path, nargs="?", default=RESULTS, help="of --json files (default: bench/results)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="default: report.html in that folder")


def _run(asked: argparse.Namespace) -> Report:
    from bench import page  # matplotlib is slow to import

    files = sorted(asked.folder.glob("*.json"))
    if not files:
        raise CannotRun(f"there are no results in {asked.folder}; `make bench` writes some")
    read = [results.read(path) for path in files]
    out = asked.out or asked.folder / "report.html"
    out.write_text(page.html(read), "utf-8")
    out.with_suffix(".md").write_text(page.markdown(read), "utf-8")
    return Report(text=f"{out}\n{out.with_suffix('.md')}", figures={"files": [str(out)]}, is_good=True)
