"""The Markdown that the reports are written in, as HTML: headings, tables, lists, paragraphs, bars."""

import re
from collections.abc import Iterator, Sequence
from html import escape

_BAR = re.compile(r"- (met   |MISSED)  (.*): (.*)")
_NUMBER = re.compile(r"^[<>= ]*[-+]?[\d,.]+")


def to_html(text: str, *, level: int = 2) -> str:
    """Blocks are divided by empty lines. `##` becomes a heading of `level`."""
    return "\n".join(html for block in re.split(r"\n\s*\n", text.strip()) for html in _block(block, level))


def _block(block: str, level: int) -> Iterator[str]:
    lines = block.splitlines()
    while lines:
        if lines[0].startswith("#"):
            marks, _, title = lines.pop(0).partition(" ")
            name, _, rest = title.partition(": ")
            size = level + len(marks) - 2
            more = f"<small>{escape(rest)}</small>" if rest else ""
            yield f"<h{size}>{escape(name)}{more}</h{size}>"
        elif lines[0].startswith("|"):
            taken = [line for line in lines if line.startswith("|")]
            lines = lines[len(taken) :]
            yield _table(taken)
        elif lines[0].startswith("- "):
            taken = [line for line in lines if line.startswith("- ")]
            lines = lines[len(taken) :]
            yield _list(taken)
        else:
            yield f"<p>{escape(lines.pop(0))}</p>"


def _list(lines: Sequence[str]) -> str:
    bars = [match for line in lines if (match := _BAR.match(line))]
    if len(bars) == len(lines):
        return "".join(['<table class="bars">', *map(_bar, bars), "</table>"])
    return "<ul>" + "".join(f"<li>{escape(line[2:])}</li>" for line in lines) + "</ul>"


def _bar(bar: "re.Match[str]") -> str:
    kind = "met" if bar[1].strip() == "met" else "missed"
    return (
        f'<tr><td><span class="{kind}">{kind}</span></td><td>{escape(bar[2])}</td>'
        f"<td><b>{escape(bar[3])}</b></td></tr>"
    )


def _table(lines: Sequence[str]) -> str:
    header, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: str) -> str:
    return f"<td{' class=n' if _NUMBER.match(cell) else ''}>{escape(cell)}</td>"
