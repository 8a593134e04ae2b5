"""The route table: read, refused with lines, followed."""

from pathlib import Path

import numpy as np
import pytest

from edge.domain import Classification, Encoding, Scored
from edge.routes import DEFAULT_FILE, Routed, RoutesRefused, RouteTable, parse_routes, read_routes
from edge.watched_routes import WatchedRoutes

TABLE = """
[default]
ttl_s = 60
min_confidence = 0.6

[intents.weather]
cache = "off"

[intents."bill.pay"]
agent = "billing"
tier = "strong"
tenants = ["acme"]
min_confidence = 0.9
"""


def table() -> RouteTable:
    return parse_routes(TABLE, name="routes.toml")


def reading(
    intent: str, confidence: float = 0.95, out_of_scope: float = 0.0, complexity: float = 0.2
) -> Encoding:
    return Encoding(
        embedding=np.ones(2, np.float32),
        classification=Classification(
            top=(Scored(label=intent, probability=confidence),), out_of_scope=out_of_scope
        ),
        complexity=complexity,
        injection=0.0,
        needs_tools=0.0,
        truncated=False,
        bundle="b",
    )


def test_the_table_that_comes_with_the_edge_is_good() -> None:
    rule = read_routes(DEFAULT_FILE).default
    assert (rule.cache, rule.knowledge, rule.ttl_s, rule.min_confidence) == ("semantic", True, 86400, 0.5)


def test_an_intent_takes_from_the_default_what_it_leaves_out() -> None:
    rule = table().intents["weather"]
    assert (rule.cache, rule.ttl_s, rule.min_confidence) == ("off", 60, 0.6)


@pytest.mark.parametrize(
    ("tenant", "encoding", "named", "is_sure"),
    [
        ("acme", None, "default", False),
        ("acme", reading("weather"), "weather", True),
        ("acme", reading("weather", 0.5), "weather", False),
        ("acme", reading("weather", 0.95, 0.7), "weather", False),
        ("acme", reading("greeting"), "default", True),
        ("acme", reading("bill.pay", 0.89), "bill.pay", False),
        ("acme", reading("bill.pay", 0.9), "bill.pay", True),
        ("zeta", reading("bill.pay", 0.9), "default", True),
    ],
)
def test_a_request_finds_its_rule(tenant: str, encoding: Encoding | None, named: str, is_sure: bool) -> None:
    routed: Routed = table().route(tenant, encoding)
    assert (routed.table, routed.is_sure) == (named, is_sure)


def test_a_complex_request_asks_for_the_stronger_tier_when_the_intent_is_sure() -> None:
    table = parse_routes(
        'tiers = ["small", "strong"]\n[default]\ntier = "small"\ncomplex_tier = "strong"\ncomplex_from = 0.6',
        name="r",
    )
    assert table.route("acme", reading("faq", complexity=0.59)).tier == "small"
    assert table.route("acme", reading("faq", complexity=0.6)).tier == "strong"
    assert table.route("acme", reading("faq", 0.4, complexity=0.9)).tier is None
    assert table.route("acme", None).tier is None
    assert parse_routes('[default]\ntier = "small"', name="r").route("acme", reading("faq")).tier == "small"


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("[default\n", ["r:1: "]),
        ("[default]\nttl_s = 1\nttl_s = 2\n", ["r:3: "]),
        ('[default]\ncache = "fuzzy"\n', ["r:2: `cache`: invalid enum value 'fuzzy'"]),
        ("[default]\n\n# a comment\nttl_s = 0\n", ["r:4: `ttl_s`: expected `float` > 0.0"]),
        ("[default]\nmin_confidence = 2\n", ["r:2: `min_confidence`"]),
        ('[defaults]\ncache = "off"\n', ["r:1: `defaults` is unknown"]),
        ('tiers = ["a"]\n[intents.x]\nagent = "y"\ntier = "b"\n', ["r:4: `tier`: b is none of tiers"]),
        ('tiers = ["a"]\n[default]\ncomplex_tier = "b"\n', ["r:3: `complex_tier`: b is none of tiers"]),
        ("[default]\ncomplex_from = 1.5\n", ["r:2: `complex_from`"]),
        ("tiers = 1\n", ["r:1: `tiers` must be a list"]),
        ("default = 1\n", ["r:1: `default` must be a table"]),
        ("[intents]\na = 1\n", ["r:2: intents.a must be a table"]),
        ('[intents.a]\ncache = "off"\ncahce = "off"\n', ["r:3: `cahce` is unknown"]),
        ('[intents."a b"]\nagent = "x y"\n', ["r:2: `agent`"]),
        ("intents.a = { ttl_s = -1 }\n", ["r:1: `ttl_s`"]),
        (
            '[intents.b]\ntenants = "acme"\n[intents.a]\nknowledge = 1\n[default]\nx = 1\n',
            ["r:2: `tenants`", "r:4: `knowledge`", "r:6: `x`"],
        ),
    ],
)
def test_every_mistake_is_told_with_its_line(text: str, mistakes: list[str]) -> None:
    with pytest.raises(RoutesRefused) as refused:
        parse_routes(text, name="r")
    told = str(refused.value).splitlines()
    assert len(told) == len(mistakes)
    for line, mistake in zip(told, mistakes, strict=True):
        assert line.startswith(mistake)


def test_the_version_changes_with_what_the_table_says_only() -> None:
    assert parse_routes(f"# a comment\n{TABLE}", name="r").version == table().version
    assert parse_routes(TABLE.replace("60", "61"), name="r").version != table().version


def test_a_running_table_follows_its_file_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    path, told, now = tmp_path / "routes.toml", list[str](), [0.0]
    path.write_text("[default]\nttl_s = 1\n", "utf-8")
    routes = WatchedRoutes(path, told=told.append, clock=lambda: now[0])

    def after(text: str | None, seconds: float = 1.0) -> float:
        if text is None:
            path.unlink()
        else:
            path.write_text(text, "utf-8")
        now[0] += seconds
        return routes.current().default.ttl_s

    assert after("[default]\nttl_s = 22\n", seconds=0.5) == 1, "looked at once a second"
    assert after("[default]\nttl_s = 22\n", seconds=0.5) == 22
    assert after("[default]\nttl_s = true\n") == 22
    assert told[-1].endswith("routes.toml:2: `ttl_s`: expected `float`, got `bool`")
    assert after(None) == 22
    assert after("[default]\nttl_s = 4444\n") == 4444
    assert told[-1] == ""


def test_an_edge_does_not_start_on_a_bad_table(tmp_path: Path) -> None:
    with pytest.raises(RoutesRefused, match="No such file"):
        WatchedRoutes(tmp_path / "none.toml", told=lambda _: None)
