"""Arithmetic, exact: an expression in, a fraction out. Pure, and bounded in size and work."""

import re
from collections.abc import Callable
from fractions import Fraction

MAX_CHARACTERS = 1_000
MAX_DEPTH = 50
MAX_BITS = 8_192
"""Of a numerator or denominator, about 2,466 digits: no step can make a larger one."""
MAX_EXPONENT = 1_000
SHOWN_DIGITS = 20
"""Decimals after which a value that does not end is rounded."""


class BadExpression(Exception):
    """It cannot be read, or has no value we can give; the message says why."""


def evaluate(expression: str) -> Fraction:
    """The exact value of `+ - * / // % ** ^`, parentheses, `15%`, `15% of 80`, and functions of numbers.

    A percent sign before another number or a parenthesis is the remainder, else a percentage.
    Raises BadExpression.
    """
    if len(expression) > MAX_CHARACTERS:
        raise BadExpression(f"it is longer than {MAX_CHARACTERS} characters")
    reader = _Reader(_tokens(expression.translate(_SIGNS).strip().removesuffix("=")))
    value = reader.sum(depth=0)
    if reader.next is not None:
        raise BadExpression(f"`{reader.next}` stands where nothing was expected")
    return value


def shown(value: Fraction) -> str:
    """The value as a decimal where it ends, else as a rounded decimal with the fraction behind it."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    places = _places(value.denominator) if rest == 1 else MAX_EXPONENT
    if places < MAX_EXPONENT:
        return _decimal(value * 10**places, places)
    rounded = _decimal(Fraction(round(value * 10**SHOWN_DIGITS)), SHOWN_DIGITS)
    fraction = f"{value.numerator}/{value.denominator}"
    return f"{rounded} (rounded; exactly {fraction})" if len(fraction) <= 80 else f"{rounded} (rounded)"


def _places(denominator: int) -> int:
    """How many decimals a fraction needs that ends; MAX_EXPONENT where it needs as many or more."""
    return next((places for places in range(MAX_EXPONENT) if 10**places % denominator == 0), MAX_EXPONENT)


def _decimal(scaled: Fraction, places: int) -> str:
    digits = str(abs(scaled.numerator)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}"


_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w.]) | (?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?(?![\w.]))
      | (?P<other>[A-Za-z]+|\*\*|//|[-+*/%^(),])
    )""",
    re.VERBOSE,
)


def _tokens(text: str) -> list[str]:
    """The expression's parts. Numbers may have groups, as `1,234.50`, but where functions are called."""
    tokens: list[str] = []
    at = 0
    has_functions = re.search(r"[A-Za-z]\s*\(", text) is not None
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadExpression(f"`{text[at : at + 20].strip()}` is not understood")
        number = match["number"]
        if number and "," in number and has_functions:
            raise BadExpression("where functions are called, numbers are written without commas in them")
        tokens.append(number.replace(",", "") if number else match["other"].lower())
        at = match.end()
    return tokens


class _Reader:
    """Recursive descent; each method reads what its operators bind and returns the value."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def next(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self.next
        if token is None:
            raise BadExpression("it ends too early")
        self._at += 1
        return token

    def _expect(self, token: str) -> None:
        if self._take() != token:
            raise BadExpression(f"a `{token}` is missing")

    def sum(self, *, depth: int) -> Fraction:
        if depth > MAX_DEPTH:
            raise BadExpression(f"it is nested more than {MAX_DEPTH} levels deep")
        value = self._product(depth=depth)
        while self.next in ("+", "-"):
            sign = self._take()
            term = self._product(depth=depth)
            value = _bounded(value + term if sign == "+" else value - term)
        return value

    def _product(self, *, depth: int) -> Fraction:
        value = self._signed(depth=depth)
        while self.next in ("*", "of", "/", "//", "%"):
            operator = self._take()
            operand = self._signed(depth=depth)
            if operator in ("/", "//", "%") and operand == 0:
                raise BadExpression("it divides by zero")
            match operator:
                case "*" | "of":
                    value *= operand
                case "/":
                    value /= operand
                case "//":
                    value = Fraction(value // operand)
                case _:
                    value %= operand
            value = _bounded(value)
        return value

    def _signed(self, *, depth: int) -> Fraction:
        negative = False
        while self.next in ("+", "-"):
            negative ^= self._take() == "-"
        value = self._power(depth=depth)
        return -value if negative else value

    def _power(self, *, depth: int) -> Fraction:
        base = self._percentage(depth=depth)
        if self.next not in ("**", "^"):
            return base
        self._take()
        if depth > MAX_DEPTH:
            raise BadExpression(f"it is nested more than {MAX_DEPTH} levels deep")
        return _power(base, self._signed(depth=depth + 1))

    def _percentage(self, *, depth: int) -> Fraction:
        value = self._operand(depth=depth)
        while self.next == "%" and not self._begins_operand(self._at + 1):
            self._take()
            value /= 100
        return value

    def _begins_operand(self, at: int) -> bool:
        token = self._tokens[at] if at < len(self._tokens) else ""
        return token == "(" or token[:1].isdigit() or token[:1] == "." or token in _FUNCTIONS

    def _operand(self, *, depth: int) -> Fraction:
        token = self._take()
        if token == "(":
            value = self.sum(depth=depth + 1)
            self._expect(")")
            return value
        if token[0].isdigit() or token[0] == ".":
            return _number(token)
        if self.next != "(":
            raise BadExpression(f"`{token}` stands where a number was expected")
        self._take()
        values = [self.sum(depth=depth + 1)]
        while self.next == ",":
            self._take()
            values.append(self.sum(depth=depth + 1))
        self._expect(")")
        return _called(token, values)


def _number(token: str) -> Fraction:
    mantissa, _, exponent = token.lower().partition("e")
    if exponent and abs(int(exponent)) > MAX_EXPONENT:
        raise BadExpression("its value is too large")
    return _bounded(Fraction(mantissa.rstrip(".")) * Fraction(10) ** int(exponent or 0))


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise BadExpression("only whole powers are exact")
    if base == 0 and exponent < 0:
        raise BadExpression("it divides by zero")
    if base in (0, 1, -1):
        return base ** (abs(exponent.numerator) % 2 if base == -1 else min(exponent.numerator, 1))
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > MAX_BITS:
        raise BadExpression("its value is too large")
    return _bounded(base**exponent.numerator)


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise BadExpression("its value is too large")
    return value


def _called(name: str, values: list[Fraction]) -> Fraction:
    function = _FUNCTIONS.get(name.lower())
    if function is None:
        raise BadExpression(f"there is no function `{name}`; known ones: {', '.join(_FUNCTIONS)}")
    try:
        return _bounded(function(values))
    except (IndexError, ValueError) as error:
        raise BadExpression(f"`{name}` does not take {len(values)} numbers") from error


def _one(values: list[Fraction]) -> Fraction:
    (value,) = values
    return value


def _round(values: list[Fraction]) -> Fraction:
    """Half away from zero, as people round money."""
    number, *digits = values
    places = int(_one(digits)) if digits else 0
    if abs(places) > 100:
        raise BadExpression("`round` takes at most 100 digits")
    scaled = abs(number) * Fraction(10) ** places
    rounded = Fraction((2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator))
    return (rounded if number >= 0 else -rounded) / Fraction(10) ** places


_FUNCTIONS: dict[str, Callable[[list[Fraction]], Fraction]] = {
    "abs": lambda values: abs(_one(values)),
    "min": min,
    "max": max,
    "sum": lambda values: sum(values, Fraction(0)),
    "avg": lambda values: sum(values[1:], values[0]) / len(values),
    "floor": lambda values: Fraction(_one(values).__floor__()),
    "ceil": lambda values: Fraction(_one(values).__ceil__()),
    "round": _round,
}
