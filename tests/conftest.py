"""What every test shares: the event loop of production, and the pace of property tests."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.databases"]

# A busy machine is no failed test: no example has a time limit of its own.
settings.register_profile(
    "wayside", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("wayside")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
