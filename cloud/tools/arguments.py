"""What a model gives a tool, checked: its arguments as the struct that the tool reads."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cloud.domain import ToolResult

T = TypeVar("T")


def read(arguments: Mapping[str, Any], kind: type[T]) -> T | ToolResult:
    """The arguments as `kind`; else what to tell the model, which may try again."""
    try:
        return msgspec.convert(dict(arguments), kind, strict=False)
    except msgspec.ValidationError as error:
        return ToolResult(text=f"These arguments cannot be used: {error}", is_error=True)


def schema(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The JSON Schema of the struct, whole: models are told no references."""
    document = msgspec.json.schema(kind, ref_template="#/$defs/{name}")
    definition: dict[str, Any] = document["$defs"][kind.__name__]
    definition.pop("title", None)
    return definition
