"""Questions that mean the same in any conversation, and those that do not."""

import pytest

from edge.standalone import stands_alone


@pytest.mark.parametrize(
    "text",
    [
        "What documents do visitors need to enter the archive building?",
        "Do you offer evening classes in pottery?",
        "Does Quillfax offer a free trial period?",
        "By the way, is there free parking at your Leeds branch?",
        "Which visa do Canadian nurses need for Norway?",
    ],
)
def test_a_question_that_says_all_it_needs_stands_alone(text: str) -> None:
    assert stands_alone(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes please",
        "cancel it",
        "how much does it cost?",
        "and with the larger garden package for business customers?",
        "which one is better for small business customers?",
        "will my parcel arrive before the bank holiday weekend?",
        "how do I send the blue garden chairs back?",
        "what about the same tariff for pensioners in Scotland?",
        "is there an early exit fee?",
        "tell me about Norwegian visas for Canadian nurses",
    ],
)
def test_a_question_that_leans_on_the_conversation_does_not(text: str) -> None:
    assert not stands_alone(text)
