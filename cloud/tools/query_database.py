"""The tool `query_database`: one SELECT over the allow-listed tables of an operator's database."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import ToolContext, ToolResult, ToolSpec
from cloud.tools import arguments as args
from cloud.tools.database_guard import MAX_SQL_CHARACTERS, NotAllowed, check_text, check_tree
from cloud.tools.operator_database import Allowed, OperatorDatabase, QueryFailed
from cloud.tools.results import as_table
from cloud.tools.sandbox import Sandbox
from cloud.tools.sandbox_jobs import Parsed, ParseJob

_PARSE_TIMEOUT_S = 5.0


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sql: Annotated[
        str, Meta(min_length=1, max_length=MAX_SQL_CHARACTERS, description="One SELECT, no comments")
    ]


class QueryDatabase:
    """One tool a database. Who may use it, and which rows a tenant has, is the operator's to say."""

    def __init__(
        self,
        name: str,
        database: OperatorDatabase,
        *,
        allowed: Allowed,
        description: str,
        agents: Sequence[str],
        tenants: Sequence[str],
        sandbox: Sandbox,
    ) -> None:
        """`tenants` that may ask; `*` is all."""
        tables = "; ".join(f"{table}({', '.join(columns)})" for table, columns in allowed.tables.items())
        self.spec = ToolSpec(
            name=f"query_database__{name}",
            description=f"Run one SELECT over the database {name}. {description}\nTables: {tables}"[:4_096],
            parameters=args.schema(Arguments),
        )
        self._database = database
        self._allowed = allowed
        self._agents = frozenset(agents)
        self._tenants = frozenset(tenants)
        self._sandbox = sandbox

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        given = args.read(arguments, Arguments)
        if isinstance(given, ToolResult):
            return given
        if context.agent not in self._agents or not self._tenants & {"*", context.tenant}:
            return ToolResult(text=f"`{self.spec.name}` is not for this agent.", is_error=True)
        try:
            sql = check_text(given.sql)
            parsed = await self._sandbox.run(ParseJob(sql=sql), timeout_s=_PARSE_TIMEOUT_S)
            if not isinstance(parsed, Parsed):
                raise NotAllowed("it cannot be read")
            check_tree(parsed.tree, list(self._allowed.tables))
            left = context.deadline - asyncio.get_running_loop().time()
            timeout_s = min(self._allowed.timeout_s, max(0.1, left))
            rows = await self._database.query(sql, tenant=context.tenant, timeout_s=timeout_s)
        except (NotAllowed, QueryFailed) as error:
            return ToolResult(text=f"The query was not run: {error}", is_error=True)
        return ToolResult(text=as_table(rows), is_untrusted=True)
