"""Which SQL an operator's database is asked: one SELECT over allow-listed tables and functions. Pure.

It reads the syntax tree that DuckDB's parser makes. What is sent is not the model's text alone: it is put
behind common table expressions that carry the allow-listed tables' names, hold their allow-listed
columns and the tenant's rows only; so what the text can reach is narrowed by the database itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

MAX_SQL_CHARACTERS = 10_000

_UNREADABLE = re.compile(r"--|/\*|\*/|\\|\$|\?|`|\b[eubxn]&?'|#|%\w*\s*\(", re.IGNORECASE)
"""Comments, escapes, parameters, other quotes: what two parsers may read in two ways."""

_NODES = frozenset(
    (
        "SELECT_NODE", "SET_OPERATION_NODE", "BASE_TABLE", "JOIN", "SUBQUERY", "EMPTY",
        "ORDER_MODIFIER", "LIMIT_MODIFIER", "DISTINCT_MODIFIER", "ASCENDING", "DESCENDING", "ORDER_DEFAULT",
    )
)  # fmt: skip
_EXPRESSIONS = frozenset(
    (
        "COLUMN_REF", "CONSTANT", "FUNCTION", "COMPARISON", "CONJUNCTION", "CAST", "OPERATOR", "CASE",
        "SUBQUERY", "BETWEEN", "STAR", "WINDOW", "TYPE",
    )
)  # fmt: skip
FUNCTIONS = frozenset(
    (
        "abs", "age", "avg", "ceil", "ceiling", "char_length", "coalesce", "concat", "concat_ws", "count",
        "count_star", "current_date", "current_timestamp", "date", "date_part", "date_trunc", "datetime",
        "dense_rank", "every", "first_value", "floor", "greatest", "ifnull", "julianday", "lag",
        "last_value", "lead", "least", "left", "length", "lower", "ltrim", "max", "min", "mod", "now",
        "ntile", "nullif", "percent_rank", "percentile_cont", "percentile_disc", "position", "rank",
        "replace", "right", "round", "row_number", "rtrim", "sign", "stddev", "stddev_pop", "stddev_samp",
        "strftime", "string_agg", "strpos", "substr", "substring", "sum", "time", "to_date", "to_days",
        "trim", "trunc", "upper", "var_pop", "var_samp", "variance", "regexp_replace", "~~", "!~~", "~~*",
        "!~~*", "+", "-", "*", "/", "%", "||",
    )
)  # fmt: skip
_TYPES = frozenset(
    (
        "BIGINT", "INTEGER", "INT", "SMALLINT", "TINYINT", "HUGEINT", "DECIMAL", "NUMERIC", "DOUBLE",
        "FLOAT", "REAL", "VARCHAR", "TEXT", "CHAR", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ",
        "INTERVAL", "TIMESTAMP WITH TIME ZONE",
    )
)  # fmt: skip


class NotAllowed(Exception):
    """The query asks for what is not on the list; the message names it."""


def check_text(sql: str) -> str:
    """The query without its last semicolon. Raises NotAllowed for what cannot be read in one way only."""
    text = sql.strip().removesuffix(";").rstrip()
    unreadable = _UNREADABLE.search(text)
    if unreadable is not None:
        raise NotAllowed(f"`{unreadable[0]}` is not allowed: no comments, escapes or parameters")
    if any(ord(character) < 32 and character not in "\n\r\t" for character in text):
        raise NotAllowed("control characters are not allowed")
    return text


def check_tree(serialized: str, tables: Sequence[str]) -> None:
    """Check what DuckDB's `json_serialize_sql` said of the query. Raises NotAllowed."""
    tree = msgspec.json.decode(serialized)
    if tree.get("error"):
        raise NotAllowed(f"it cannot be read as a SELECT: {tree.get('error_message', '')}")
    statements = tree["statements"]
    if len(statements) != 1:
        raise NotAllowed("only one statement is run at a time")
    own: set[str] = set()
    used: set[str] = set()
    pending: list[Any] = [statements[0]["node"]]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            _check_node(node, used)
            own.update(str(entry["key"]).lower() for entry in node.get("cte_map", {}).get("map", ()))
            pending.extend(node.values())
    allowed = {table.lower() for table in tables}
    taken = {name for name in own if name in allowed or name.startswith(("pg_", "sqlite_", "information_"))}
    if taken:
        raise NotAllowed(f"a common table expression must not be called `{min(taken)}`")
    unknown = used - allowed - own
    if unknown:
        raise NotAllowed(f"there is no table `{min(unknown)}`; allowed tables: {', '.join(tables)}")


def _check_node(node: Mapping[str, Any], used: set[str]) -> None:
    if "class" in node:
        _check_expression(node)
        return
    kind = node.get("type")
    if isinstance(kind, str) and kind not in _NODES:
        raise NotAllowed(f"{kind.lower().replace('_', ' ')} is not allowed")
    if kind == "BASE_TABLE":
        if node.get("schema_name") or node.get("catalog_name") or node.get("at_clause"):
            raise NotAllowed("tables are named without a schema")
        used.add(str(node["table_name"]).lower())


def _check_expression(node: Mapping[str, Any]) -> None:
    kind = str(node["class"])
    if kind not in _EXPRESSIONS:
        raise NotAllowed(f"{kind.lower().replace('_', ' ')} is not allowed")
    if kind in ("FUNCTION", "WINDOW"):
        name = str(node.get("function_name", "")).lower()
        if name not in FUNCTIONS or node.get("schema") or node.get("catalog"):
            raise NotAllowed(f"the function `{name}` is not allowed")
    if kind == "TYPE" and (str(node["type_name"]).upper() not in _TYPES or node.get("schema")):
        raise NotAllowed(f"the type `{node['type_name']}` is not allowed")


def confined(
    sql: str,
    tables: Mapping[str, Sequence[str]],
    *,
    source: Callable[[str], str],
    condition: str,
    max_rows: int,
) -> str:
    """The checked query behind the tables it may read: their columns, the rows that meet `condition`.

    `source` says how a table is named in full; `condition` is SQL, or empty.
    """
    where = f" WHERE {condition}" if condition else ""
    parts = [
        f"{_quoted(name)} AS (SELECT {', '.join(map(_quoted, columns))} FROM {source(name)}{where})"
        for name, columns in tables.items()
    ]
    return f"WITH {', '.join(parts)} SELECT * FROM (\n{sql}\n) AS wayside_result LIMIT {max_rows + 1}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
