"""Strategies for JSON values and for every chat request that the API accepts."""

import math
import struct
from typing import Any

from hypothesis import strategies as st

# Half of a surrogate pair is no Unicode text, and NUL is refused by design.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NUMBERS = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -1, 2**53 + 1, 2**64, 10**300, 10**4000, 5e-324, 1.7976931348623157e308, -0.0])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=3)


def nested(levels: int, leaf: Any = 1) -> Any:
    value = leaf
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


def _with_extras(
    known: st.SearchStrategy[dict[str, Any]], names: set[str]
) -> st.SearchStrategy[dict[str, Any]]:
    """The known fields among others that nobody has heard of, in any order."""
    extras = st.dictionaries(KEYS.filter(lambda key: key not in names), VALUES, max_size=2)
    return st.builds(lambda fields, others: [*fields.items(), *others.items()], known, extras).flatmap(
        lambda items: st.permutations(items).map(dict)
    )


def _record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = {*required, *optional}
    return _with_extras(st.fixed_dictionaries(required, optional=optional), names)


def _or_null(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


_FUNCTION = _record({"name": TEXT, "arguments": TEXT}, {})
_CALLS = st.lists(
    _record({"id": TEXT, "function": _FUNCTION}, {"type": st.just("function")})
    | _record({"id": TEXT, "type": st.just("custom")}, {"custom": VALUES}),
    max_size=2,
)
_PARTS = st.lists(
    _record({"type": st.just("text"), "text": TEXT}, {})
    | _record({"type": st.just("image_url"), "image_url": _record({"url": TEXT}, {"detail": TEXT})}, {})
    | _record({"type": st.sampled_from(["input_audio", "file", "video_url", "x"])}, {"file": VALUES}),
    max_size=2,
)
_CONTENT = TEXT | _PARTS
_MESSAGES = (
    _record({"role": st.sampled_from(["system", "developer", "user"]), "content": _CONTENT}, {"name": TEXT})
    | _record(
        {"role": st.just("assistant")},
        {"content": _or_null(_CONTENT), "tool_calls": _or_null(_CALLS), "refusal": _or_null(TEXT)},
    )
    | _record({"role": st.just("tool"), "content": _CONTENT, "tool_call_id": TEXT}, {})
)
_TOOL = _record(
    {"type": st.just("function"), "function": _record({"name": TEXT}, {"parameters": _or_null(OBJECTS)})}, {}
) | _record({"type": st.just("custom")}, {"custom": VALUES})


def requests(**fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any request the API accepts, with fields nobody knows at every level."""
    required: dict[str, Any] = {
        "model": st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
        ),
        "messages": st.lists(_MESSAGES, min_size=1, max_size=3),
    }
    optional: dict[str, Any] = {
        "stream": _or_null(st.booleans()),
        "stream_options": _or_null(_record({}, {"include_usage": _or_null(st.booleans())})),
        "temperature": _or_null(st.floats(0, 2) | st.integers(0, 2)),
        "top_p": _or_null(st.floats(0, 1)),
        "n": _or_null(st.integers(1, 128)),
        "max_tokens": _or_null(st.integers(1, 2**65)),
        "max_completion_tokens": _or_null(st.integers(1)),
        "stop": _or_null(TEXT | st.lists(TEXT, max_size=2)),
        "seed": _or_null(st.integers(-(2**70), 2**70)),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "logit_bias": st.dictionaries(KEYS, st.floats(-100, 100), max_size=2),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 20),
        "user": TEXT,
        "tools": _or_null(st.lists(_TOOL, max_size=2)),
        "tool_choice": _or_null(TEXT | OBJECTS),
        "parallel_tool_calls": st.booleans(),
        "response_format": _record({"type": TEXT}, {"json_schema": _or_null(OBJECTS)}),
        "deep": st.integers(0, 60).map(nested),
    }
    names = {*required, *optional}
    return _with_extras(
        st.fixed_dictionaries(
            {**required, **fixed},
            optional={name: field for name, field in optional.items() if name not in fixed},
        ),
        names,
    )


def same(left: Any, right: Any) -> bool:
    """Equal in meaning as JSON: 1 is not true, floats match to the bit, the order of keys does not matter."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("d", left) == struct.pack("d", right) and not math.isnan(left)
    return type(left) is type(right) and bool(left == right)
