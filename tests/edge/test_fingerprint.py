"""Fingerprints: what must not matter does not, and everything else does."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire import chat
from edge.domain import Keys
from edge.fingerprint import keys_of

BASE: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "What is a monad?"},
    ],
    "temperature": 0.2,
    "max_tokens": 100,
}


def keys(body: dict[str, Any], *, tenant: str = "acme", bundle: str = "b1", policy: str = "p1") -> Keys:
    parsed = chat.parse(json.dumps(body).encode(), max_depth=64)
    return keys_of(tenant=tenant, body=msgspec.json.decode(parsed.body), bundle=bundle, policy=policy)


def with_message(index: int, **fields: Any) -> dict[str, Any]:
    messages = [dict(message) for message in BASE["messages"]]
    messages[index].update(fields)
    return BASE | {"messages": messages}


@pytest.mark.parametrize(
    "extra",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "u-1"},
        {"metadata": {"job": "7"}},
        {"service_tier": "flex"},
        {"top_p": None},
        {"tools": None},
    ],
)
def test_what_cannot_change_the_answer_is_left_out(extra: dict[str, Any]) -> None:
    assert keys(BASE | extra) == keys(BASE)


CHANGES: dict[str, dict[str, Any]] = {
    "model": BASE | {"model": "other"},
    "system": with_message(0, content="Be long."),
    "history": with_message(2, content="Good day"),
    "history role": with_message(0, role="developer"),
    "name": with_message(3, name="ann"),
    "one message less": BASE | {"messages": BASE["messages"][1:]},
    "tools": BASE | {"tools": [{"type": "function", "function": {"name": "f"}}]},
    "temperature": BASE | {"temperature": 0.3},
    "max_tokens": BASE | {"max_tokens": 101},
    "max_completion_tokens": BASE | {"max_completion_tokens": 100},
    "seed": BASE | {"seed": 1},
    "stop": BASE | {"stop": ["\n"]},
    "response_format": BASE | {"response_format": {"type": "json_object"}},
    "logit_bias": BASE | {"logit_bias": {"50256": -100}},
    "reasoning_effort": BASE | {"reasoning_effort": "high"},
    "unknown": BASE | {"x-new-field": None},
    "unknown in a message": with_message(1, cache_hint="a"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_can_change_the_answer_changes_both_keys(name: str) -> None:
    changed, base = keys(CHANGES[name]), keys(BASE)
    assert changed.entry != base.entry
    assert changed.scope != base.scope


@pytest.mark.parametrize("setting", ["tenant", "bundle", "policy"])
def test_tenant_bundle_and_policy_change_both_keys(setting: str) -> None:
    changed, base = keys(BASE, **{setting: "another"}), keys(BASE)
    assert changed.entry != base.entry
    assert changed.scope.digest != base.scope.digest


def test_the_last_question_changes_the_entry_and_not_the_scope() -> None:
    changed, base = keys(with_message(3, content="What is a functor?")), keys(BASE)
    assert changed.entry != base.entry
    assert changed.scope == base.scope


def test_a_question_that_moved_is_in_another_scope() -> None:
    first = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert keys(BASE | {"messages": first}).scope != keys(BASE | {"messages": first[::-1]}).scope


_text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=8,
)


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, _shuffled(child, chance)) for key, child in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [_shuffled(child, chance) for child in value] if isinstance(value, list) else value


@given(
    extra=st.dictionaries(_text.map(lambda key: "x" + key), _values, max_size=4),
    question=_text,
    seed=st.integers(),
)
def test_key_order_and_white_space_never_matter(extra: dict[str, Any], question: str, seed: int) -> None:
    body = with_message(3, content=question) | extra
    spread = json.dumps(_shuffled(body, random.Random(seed)), indent=2, ensure_ascii=bool(seed % 2))
    parsed = chat.parse(spread.encode(), max_depth=64)
    assert keys_of(tenant="acme", body=msgspec.json.decode(parsed.body), bundle="b1", policy="p1") == keys(
        body
    )


@given(one=st.dictionaries(_text.map(lambda key: "x" + key), _values, max_size=3), other=_values)
def test_a_changed_unknown_field_always_matters(one: dict[str, Any], other: Any) -> None:
    changed = one | {"x": other}
    same = json.dumps(changed, sort_keys=True) == json.dumps(one, sort_keys=True)
    assert (keys(BASE | changed).entry == keys(BASE | one).entry) is same


def test_a_question_that_stands_alone_is_found_again_after_another_conversation() -> None:
    alone = "Which documents do visitors need to enter the Quillfax archive?"
    before, other = with_message(3, content=alone), with_message(3, content=alone)
    other["messages"][1] = {"role": "user", "content": "Something else entirely"}
    assert keys(before).scope == keys(other).scope
    assert keys(before).entry != keys(other).entry
    other["messages"][0] = {"role": "system", "content": "Be long."}
    assert keys(before).scope != keys(other).scope


def test_a_question_that_leans_on_its_conversation_is_found_in_that_one_alone() -> None:
    leaning = with_message(3, content="How much does it cost?")
    other = with_message(3, content="How much does it cost?")
    other["messages"][1] = {"role": "user", "content": "Something else entirely"}
    assert keys(leaning).scope != keys(other).scope
