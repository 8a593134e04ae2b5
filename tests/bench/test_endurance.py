"""Growth is taken between the half and the end."""

import pytest

from bench.endurance import Size, growth_of


def test_growth_before_the_half_does_not_count() -> None:
    sizes = [Size(done=done, rss_bytes=100 + min(done, 50)) for done in range(0, 101)]
    assert growth_of(sizes, 100) == 0.0


def test_growth_after_the_half_counts() -> None:
    sizes = [Size(done=done, rss_bytes=1000 + (done > 80) * 100) for done in range(0, 101)]
    assert growth_of(sizes, 100) == pytest.approx(0.1)
