"""The tool `calculate`."""

import pytest

from cloud.tools.calculate import Calculate
from tests.support.tools import context

pytestmark = pytest.mark.anyio


async def test_it_says_the_exact_value() -> None:
    result = await Calculate().call({"expression": "19.99 * 3"}, context())
    assert (result.text, result.is_error) == ("59.97", False)


@pytest.mark.parametrize(
    "arguments", [{}, {"expression": 5}, {"expression": "1/0"}, {"expression": "1", "x": 1}]
)
async def test_what_cannot_be_computed_is_told_to_the_model(arguments: dict[str, object]) -> None:
    assert (await Calculate().call(arguments, context())).is_error
