"""What may be stored and served, as tables."""

import json
from typing import Any

import msgspec
import pytest

from cloud.wire import chat
from edge.cacheability import Cacheability, Directives, Limits, answer_refusal, assess, directives_of
from tests.support.upstream import completion


def judged(body: dict[str, Any], *, cache_control: str = "", in_session: bool = False) -> Cacheability:
    body = {"model": "m", "messages": [{"role": "user", "content": "What is a monad?"}], **body}
    request = chat.parse(json.dumps(body).encode(), max_depth=64).request
    text = next((m.text for m in reversed(request.messages) if m.role == "user"), "")
    return assess(
        request,
        fields=frozenset(body),
        text=text,
        in_session=in_session,
        directives=directives_of(cache_control),
        limits=Limits(),
    )


def shown(found: Cacheability) -> tuple[str | None, str | None, str | None]:
    return found.exact, found.semantic, found.store


def asking(*messages: Any) -> dict[str, Any]:
    return {"messages": [m if isinstance(m, dict) else {"role": "user", "content": m} for m in messages]}


TOOL = {"type": "function", "function": {"name": "f"}}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
IMAGE = {
    "role": "user",
    "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:,"}},
    ],
}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": 0},
        {"temperature": 0.7},
        {"n": 1},
        {"tools": []},
        {"logprobs": False},
        asking({"role": "system", "content": "Today is Monday."}, "What is a monad?"),
        asking("Hi", {"role": "assistant", "content": "Hello"}, "What is a monad?"),
        asking({"role": "user", "content": [{"type": "text", "text": "What is a monad?"}]}),
    ],
)
def test_a_plain_question_may_be_stored_and_served(body: dict[str, Any]) -> None:
    assert shown(judged(body)) == (None, None, None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        (asking("a", CALL, {"role": "tool", "tool_call_id": "1", "content": "2"}), "tools"),
        ({"web_search_options": {}}, "time-dependent"),
        ({"n": 2}, "several answers"),
        ({"logprobs": True}, "logprobs"),
        ({"temperature": 1.2}, "temperature"),
        (asking(IMAGE), "not only text"),
        (asking(IMAGE, {"role": "assistant", "content": "A cat"}, "Sure?"), "not only text"),
        (asking("What is my balance?"), "personal"),
        (asking("Where is my last order"), "personal"),
        (asking("How much do I owe?"), "personal"),
        (asking("What did I say before?"), "personal"),
        (asking("Remind me to call Ann"), "personal"),
        (asking("Is ann@example.org on the list?"), "personal"),
        (asking("How do I track order 48213?"), "personal"),
        (asking("Call +44 20 7946 0958"), "personal"),
        (asking("What happened today?"), "time-dependent"),
        (asking("What is the current price of gold?"), "time-dependent"),
        (asking("Latest Python version?"), "time-dependent"),
        (asking("What's the weather in Oslo?"), "time-dependent"),
        (asking("Apple stock price"), "time-dependent"),
        (asking("Who is the president of France?"), "time-dependent"),
        (asking("Who won the match?"), "time-dependent"),
        (asking("How much does an iPhone cost?"), "time-dependent"),
        (asking("x " * 5000 + "and what of that is true today?"), "time-dependent"),
    ],
)
def test_these_are_never_stored_nor_served(body: dict[str, Any], reason: str) -> None:
    assert shown(judged(body)) == (reason, reason, reason)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"temperature": 0.8}, "temperature"),
        (asking(" "), "no question"),
        (asking({"role": "system", "content": "Go"}), "no question"),
        (asking("Write a poem", {"role": "assistant", "content": "Roses"}), "question is not last"),
    ],
)
def test_these_are_served_to_the_letter_only(body: dict[str, Any], reason: str) -> None:
    assert shown(judged(body)) == (None, reason, None)


@pytest.mark.parametrize(
    "question", ["How do I reset my password?", "How can I cancel my order?", "How to close my account"]
)
def test_a_procedure_is_the_same_for_everybody(question: str) -> None:
    assert judged(asking(question)).exact is None


def test_a_conversation_kept_by_the_cloud_is_not_known_here() -> None:
    assert judged({}, in_session=True).exact == "session"


def test_no_store_neither_stores_nor_serves() -> None:
    assert shown(judged({}, cache_control="no-store")) == ("no-store", "no-store", "no-store")


@pytest.mark.parametrize(
    ("header", "directives"),
    [
        ("", Directives()),
        ("no-cache", Directives(no_cache=True)),
        ("NO-STORE, max-age=5", Directives(no_store=True, max_age_s=5)),
        ('max-age="60"', Directives(max_age_s=60)),
        ("max-age=soon", Directives(max_age_s=0)),
        ("max-age", Directives(max_age_s=0)),
        ("max-age=-1", Directives(max_age_s=0)),
        ("max-age=99999999999999999999", Directives(max_age_s=2**31)),
        ("min-fresh=30,only-if-cached", Directives(min_fresh_s=30, only_if_cached=True)),
        ("x=no-store", Directives()),
        ("no-transform , no-cache", Directives(no_cache=True)),
    ],
)
def test_cache_control_is_read_as_rfc_9111_says(header: str, directives: Directives) -> None:
    assert directives_of(header) == directives


@pytest.mark.parametrize(
    ("directives", "age_s", "ttl_s", "allowed"),
    [
        (Directives(), 10**6, 0, True),
        (Directives(max_age_s=10), 10, 60, True),
        (Directives(max_age_s=10), 10.5, 60, False),
        (Directives(max_age_s=0), 0.1, 60, False),
        (Directives(min_fresh_s=60), 1, 60, True),
        (Directives(min_fresh_s=60), 1, 59, False),
    ],
)
def test_an_answer_is_served_while_it_is_as_fresh_as_asked(
    directives: Directives, age_s: float, ttl_s: float, allowed: bool
) -> None:
    assert directives.allow(age_s=age_s, ttl_s=ttl_s) is allowed


def choice(**fields: Any) -> dict[str, Any]:
    return {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop", **fields}
        ]
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (completion(), None),
        (completion(**choice(finish_reason="length")), "not finished"),
        (completion(**choice(finish_reason="content_filter")), "not finished"),
        (completion(**choice(finish_reason=None)), "not finished"),
        (
            completion(choices=[*completion()["choices"], choice(finish_reason="length")["choices"][0]]),
            "not finished",
        ),
        (completion(**choice(message={"content": "a", "tool_calls": [{}]})), "tools"),
        (completion(**choice(message={"content": "a", "refusal": "no"})), "a refusal"),
        (completion(**choice(message={"content": " "})), "empty"),
        (completion(**choice(message={"content": None})), "empty"),
        (completion(choices=[]), "an error"),
        (completion(error={"message": "x"}), "an error"),
        (completion("x" * 300_000), "too large"),
        ([], "not a completion"),
        ({"choices": "none"}, "not a completion"),
    ],
)
def test_only_whole_successful_answers_are_stored(answer: Any, reason: str | None) -> None:
    assert answer_refusal(msgspec.json.encode(answer), Limits()) == reason


@pytest.mark.parametrize(
    ("body", "in_session", "reason"),
    [
        ({}, False, None),
        (asking({"role": "system", "content": "Be brief."}, "What is a monad?"), False, None),
        (asking("What are your opening hours today?"), False, None),
        ({"temperature": 1.5}, False, None),
        ({}, True, "follow-up"),
        (asking("Hi", {"role": "assistant", "content": "Hello"}, "What is a monad?"), False, "follow-up"),
        (asking("Hi", "What is a monad?"), False, "follow-up"),
        ({"tools": [TOOL]}, False, "tools"),
        ({"response_format": {"type": "json_object"}}, False, "response format"),
        ({"n": 3}, False, "several answers"),
        (asking(IMAGE), False, "not only text"),
        (asking("What is my balance?"), False, "personal"),
        (asking(" "), False, "no question"),
    ],
)
def test_known_answers_are_for_questions_that_stand_on_their_own(
    body: dict[str, Any], in_session: bool, reason: str | None
) -> None:
    assert judged(body, in_session=in_session).knowledge == reason
