"""The tool `calculate`: arithmetic with exact results."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.domain import ToolContext, ToolResult, ToolSpec
from cloud.tools import arguments as args
from cloud.tools.expressions import BadExpression, evaluate, shown


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    expression: Annotated[
        str,
        Meta(description="For example 1299.99 * 15%, (2 + 3)**10, 7/3, round(2/3, 2)"),
    ]


class Calculate:
    """Numbers, + - * / // % **, percentages, abs min max sum avg floor ceil round."""

    spec = ToolSpec(
        name="calculate",
        description="Evaluate an arithmetic expression exactly. Use it for every calculation with numbers.",
        parameters=args.schema(Arguments),
    )

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        given = args.read(arguments, Arguments)
        if isinstance(given, ToolResult):
            return given
        try:
            return ToolResult(text=shown(evaluate(given.expression)))
        except BadExpression as error:
            return ToolResult(text=f"`{given.expression[:200]}` has no value here: {error}", is_error=True)
