"""The report: one HTML page that needs no network, and the same as Markdown."""

from collections.abc import Sequence
from html import escape

from bench.charts import charts_of
from bench.markdown import to_html
from bench.results import Result

_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #e3e7ec; --good: #0f766e; --bad: #b42318; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7f9; color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header { background: #10242b; color: #fff; padding: 2.2rem 0 1.8rem; }
header div, main { max-width: 1180px; margin: 0 auto; padding: 0 1.5rem; }
header h1 { margin: 0 0 .4rem; font-size: 1.9rem; }
header p { margin: .15rem 0; color: #b9cbd0; }
nav a { color: #fff; margin-right: 1rem; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; margin: 1.4rem 0;
  padding: 1.1rem 1.5rem 1.4rem; }
section.failed { border-left: 6px solid var(--bad); }
h2 { margin: .3rem 0 .8rem; font-size: 1.35rem; text-transform: capitalize; }
h2 small, h3 small { display: block; font-size: .9rem; font-weight: normal; color: var(--soft);
  text-transform: none; }
h3 { margin: 1.2rem 0 .5rem; font-size: 1.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 600; border-bottom: 2px solid var(--line); }
th, td { padding: .32rem .8rem .32rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
td.n { white-space: nowrap; }
.bars td { border: 0; padding: .2rem .9rem .2rem 0; }
.met, .missed { display: inline-block; min-width: 4.6rem; text-align: center; border-radius: 99px;
  color: #fff; font-size: .76rem; padding: .1rem .6rem; }
.met { background: var(--good); } .missed { background: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1rem; }
figure { margin: .4rem 0; } figcaption { color: var(--soft); font-size: .88rem; }
svg { width: 100%; height: auto; max-width: 620px; }
p, li { max-width: 95ch; } footer { color: var(--soft); padding: 0 0 2rem; font-size: .85rem; }
"""


def markdown(results: Sequence[Result]) -> str:
    parts = ["# Wayside, measured"]
    parts += [f"{result.text}\n\n_{result.machine.line()}_" for result in results]
    return "\n\n".join(parts) + "\n"


def html(results: Sequence[Result]) -> str:
    met, missed = _counts(results)
    broken = [result.command for result in results if result.failed]
    failed = f"; without figures: {escape(', '.join(broken))}" if broken else ""
    first = results[0].machine
    commits = ", ".join(dict.fromkeys(result.machine.commit for result in results))
    links = "".join(
        f'<a href="#{_name(at, one)}">{escape(one.command)}</a>' for at, one in enumerate(results)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Wayside, measured</title><style>{_STYLE}</style></head>
<body><header><div><h1>Wayside, measured</h1>
<p>{met} bars met, {missed} missed{failed}</p>
<p>{escape(first.cpu)}, {first.cores} cores; Python {escape(first.python)}; Linux {escape(first.kernel)};
commit {escape(commits)}; {escape(first.date)}</p>
<nav>{links}</nav></div></header>
<main>{"".join(_section(at, one) for at, one in enumerate(results))}
<footer>Real processes, loopback sockets, every answer checked. A figure that misses its bar is printed as
missed; each section says under which load the machine was before.</footer></main></body></html>
"""


def _section(at: int, result: Result) -> str:
    charts = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, svg in charts_of(result)
    )
    kind = ' class="failed"' if result.failed else ""
    return (
        f'<section{kind} id="{_name(at, result)}">{to_html(result.text)}<div class="charts">{charts}</div>'
        f"<p><small>{escape(result.machine.line())}</small></p></section>\n"
    )


def _name(at: int, result: Result) -> str:
    return f"{result.command}-{at}"


def _counts(results: Sequence[Result]) -> tuple[int, int]:
    lines = [line for result in results for line in result.text.splitlines()]
    met = sum(line.startswith("- met   ") for line in lines)
    return met, sum(line.startswith("- MISSED") for line in lines)
