"""Exact arithmetic: what it gives, and that nothing in it can run away."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.tools.expressions import MAX_CHARACTERS, BadExpression, evaluate, shown


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("15% of 80", "12"),
        ("200 * (1 - 15%)", "170"),
        ("200 / 10%", "2000"),
        ("(1 + 2)%", "0.03"),
        ("10 % 3", "1"),
        ("1,234.50 * 2 =", "2469"),
        ("-2 ^ 2", "-4"),
        ("2 ** 3 ** 2", "512"),
        ("2 ** -2", "0.25"),
        ("7 // 2", "3"),
        ("round(2.675, 2)", "2.68"),
        ("round(-2.5)", "-3"),
        ("max(1, 2.5, 2)", "2.5"),
        ("avg(1, 2) + abs(-3)", "4.5"),
        ("1e3 + 1.5e-3", "1000.0015"),
        ("7 / 3", "2.33333333333333333333 (rounded; exactly 7/3)"),
        ("99999999999999999999 * 99999999999999999999", "9999999999999999999800000000000000000001"),
        ("6 × 7 ÷ 2", "21"),
    ],
)
def test_values_are_exact(expression: str, value: str) -> None:
    assert shown(evaluate(expression)) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "(1",
        "1)",
        "1 2",
        "1.5.2",
        "__import__('os')",
        "x + 1",
        "().__class__",
        "abs()",
        "eval(1)",
        "1 / 0",
        "5 % (1 - 1)",
        "0 ** -1",
        "2 ** 0.5",
        "9 ** 9 ** 9",
        "10 ** 100000",
        "1e9999",
        "max(1,000, 2)",
        "(" * 400,
        "-" * (MAX_CHARACTERS + 1),
        "2^" * 450 + "2",
    ],
)
def test_what_has_no_value_is_refused_with_a_reason(expression: str) -> None:
    with pytest.raises(BadExpression, match=r"\w"):
        evaluate(expression)


numbers = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=1).map(
    lambda whole: (str(whole), whole)
) | st.decimals(min_value=-1000, max_value=1000, places=3).map(
    lambda decimal: (f"{decimal:f}", Fraction(decimal))
)


def combined(
    parts: st.SearchStrategy[tuple[str, Fraction]],
) -> st.SearchStrategy[tuple[str, Fraction]]:
    def both(left: tuple[str, Fraction], operator: str, right: tuple[str, Fraction]) -> tuple[str, Fraction]:
        text = f"({left[0]}) {operator} ({right[0]})"
        match operator:
            case "+":
                return text, left[1] + right[1]
            case "-":
                return text, left[1] - right[1]
            case "*":
                return text, left[1] * right[1]
            case _:
                return (text, left[1] / right[1]) if right[1] else (f"({left[0]})", left[1])

    return st.builds(both, parts, st.sampled_from("+-*/"), parts)


@given(st.recursive(numbers, combined, max_leaves=12))
def test_it_agrees_with_fractions(case: tuple[str, Fraction]) -> None:
    expression, value = case
    assert evaluate(expression) == value


@given(st.fractions(max_denominator=10**6))
def test_what_is_shown_is_the_value_or_says_that_it_is_rounded(value: Fraction) -> None:
    text = shown(value)
    if "rounded" not in text:
        assert Fraction(text) == value
    else:
        assert abs(Fraction(text.split()[0]) - value) <= Fraction(1, 2 * 10**20)


@given(st.text(alphabet="0123456789.,+-*/^%() eabsmx", max_size=60))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    with contextlib.suppress(BadExpression):
        assert shown(evaluate(text))
