"""The operator's route table: what the edge may do with a request of each intent."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edge.domain import Encoding

DEFAULT_FILE = Path(__file__).with_name("default_routes.toml")
_LIKELY = 0.5

CacheMode = Literal["semantic", "exact", "off"]


class RoutesRefused(Exception):
    """The file is no route table; one line a mistake, each with its line number."""


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table as it is written."""

    knowledge: bool = True
    cache: CacheMode = "semantic"
    ttl_s: Annotated[float, Meta(gt=0, le=366 * 86400)] = 86400.0
    stale_s: Annotated[float, Meta(ge=0, le=366 * 86400)] = 0.0
    min_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.5
    injection: Literal["forward", "refuse"] = "forward"
    agent: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")] | None = None
    tier: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")] | None = None
    complex_from: Annotated[float, Meta(ge=0, le=1)] = 0.5
    complex_tier: Annotated[str, Meta(pattern=r"^[\w.-]{1,64}$")] | None = None
    tenants: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What may be done with requests of one intent."""

    knowledge: bool
    cache: CacheMode
    ttl_s: float
    stale_s: float
    """For how long after that an answer may still be given while the upstream is away."""
    min_confidence: float
    injection: Literal["forward", "refuse"]
    agent: str | None
    tier: str | None
    complex_from: float
    """Complexity from which `complex_tier` is asked for instead, where there is one."""
    complex_tier: str | None
    tenants: frozenset[str] | None
    """Whose requests it is for; None for everybody's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Routed:
    """The rule that counts for one request."""

    rule: Rule
    table: str
    """Name of the table it stands in: an intent's or `default`."""
    is_sure: bool
    """The classifier is confident enough for knowledge, semantic hits, agent and tier."""
    tier: str | None
    """The one to ask for, by how complex the request is; None where nothing is sure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteTable:
    default: Rule
    intents: Mapping[str, Rule]
    tiers: tuple[str, ...]
    """From the weakest to the strongest, for what may only escalate."""
    version: str
    """Changes with what the table says, not with how it is written."""

    def route(self, tenant: str, encoding: Encoding | None) -> Routed:
        """The rule for a request; without an encoding the default's, and nothing is sure."""
        if encoding is None:
            return Routed(rule=self.default, table="default", is_sure=False, tier=None)
        classification = encoding.classification
        rule = self.intents.get(classification.intent)
        if rule is None or (rule.tenants is not None and tenant not in rule.tenants):
            rule, table = self.default, "default"
        else:
            table = classification.intent
        is_sure = classification.confidence >= rule.min_confidence and classification.out_of_scope < _LIKELY
        is_complex = rule.complex_tier is not None and encoding.complexity >= rule.complex_from
        tier = rule.complex_tier if is_complex else rule.tier
        return Routed(rule=rule, table=table, is_sure=is_sure, tier=tier if is_sure else None)


def read_routes(path: Path) -> RouteTable:
    """Raises RoutesRefused with every mistake and its line."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RoutesRefused(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RoutesRefused(f"{path}: not UTF-8") from error
    return parse_routes(text, name=str(path))


def parse_routes(text: str, *, name: str) -> RouteTable:
    """`name` stands before each mistake. Raises RoutesRefused."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise RoutesRefused(f"{name}:{line}: {str(error).partition(' (at ')[0]}") from error
    mistakes: list[tuple[int, str]] = []
    lines = _Lines(text)
    for key in document.keys() - {"default", "intents", "tiers"}:
        what = f"`{key}` is unknown here; there are tiers, [default] and [intents.NAME]"
        mistakes.append((lines.of((key,)), what))
    tiers = document.get("tiers", [])
    if not isinstance(tiers, list) or not all(isinstance(tier, str) for tier in tiers):
        mistakes.append((lines.of(("tiers",)), "`tiers` must be a list of names, weakest first"))
        tiers = []
    default = _table(document, "default", lines, mistakes)
    intents = _table(document, "intents", lines, mistakes)
    base = _rule(default, {}, ("default",), lines, mistakes)
    rules = {}
    for intent, fields in intents.items():
        where = ("intents", intent)
        if isinstance(fields, dict):
            rules[intent] = _rule(fields, default, where, lines, mistakes)
        else:
            mistakes.append((lines.of(where), f"intents.{intent} must be a table"))
    places: list[tuple[tuple[str, ...], _Rule]] = [(("default",), base)]
    places += [(("intents", intent), rule) for intent, rule in rules.items()]
    for place, rule in places:
        for key, tier in (("tier", rule.tier), ("complex_tier", rule.complex_tier)):
            if tier is not None and tiers and tier not in tiers:
                mistakes.append((lines.of((*place, key)), f"`{key}`: {tier} is none of tiers"))
    if mistakes:
        raise RoutesRefused("\n".join(f"{name}:{line}: {what}" for line, what in sorted(mistakes)))
    everything = {"default": base, "intents": rules, "tiers": tiers}
    digest = hashlib.sha256(msgspec.json.encode(everything, order="sorted")).hexdigest()
    return RouteTable(
        default=_as_rule(base),
        intents={intent: _as_rule(rule) for intent, rule in rules.items()},
        tiers=tuple(tiers),
        version=digest[:16],
    )


def _table(
    document: dict[str, Any], key: str, lines: "_Lines", mistakes: list[tuple[int, str]]
) -> dict[str, Any]:
    table = document.get(key, {})
    if isinstance(table, dict):
        return table
    mistakes.append((lines.of((key,)), f"`{key}` must be a table"))
    return {}


def _rule(
    fields: dict[str, Any],
    base: dict[str, Any],
    where: tuple[str, ...],
    lines: "_Lines",
    mistakes: list[tuple[int, str]],
) -> _Rule:
    """The rule, its mistakes noted one by one so that the operator sees all of them at once."""
    known = {field.name for field in msgspec.structs.fields(_Rule)}
    good = {}
    for key, value in fields.items():
        if key not in known:
            mistakes.append(
                (lines.of((*where, key)), f"`{key}` is unknown; known are {', '.join(sorted(known))}")
            )
            continue
        try:
            msgspec.convert({key: value}, _Rule)
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at")[0]
            mistakes.append((lines.of((*where, key)), f"`{key}`: {what[:1].lower()}{what[1:]}"))
        else:
            good[key] = value
    if mistakes:
        return _Rule()
    return msgspec.convert(base | good, _Rule)


def _as_rule(written: _Rule) -> Rule:
    fields = {name: getattr(written, name) for name in written.__struct_fields__}
    return Rule(**{**fields, "tenants": None if written.tenants is None else frozenset(written.tenants)})


class _Lines:
    """Where each key of a TOML text stands, for messages; a key that is not found has its table's line."""

    _HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
    _KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:\"[^\"]*\"|'[^']*'|[\w-]+))*)\s*=")
    _PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([\w-]+)")

    def __init__(self, text: str) -> None:
        self._at: dict[tuple[str, ...], int] = {}
        table: tuple[str, ...] = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if header := self._HEADER.match(line):
                table = self._path(header[1])
                self._at.setdefault(table, number)
            elif key := self._KEY.match(line):
                self._at.setdefault((*table, *self._path(key[1])), number)

    def of(self, path: tuple[str, ...]) -> int:
        while path and path not in self._at:
            inside = [line for known, line in self._at.items() if known[: len(path)] == path]
            if inside:
                return min(inside)
            path = path[:-1]
        return self._at.get(path, 1)

    def _path(self, written: str) -> tuple[str, ...]:
        return tuple(a or b or c for a, b, c in self._PART.findall(written))
