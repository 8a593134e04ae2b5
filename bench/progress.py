"""Progress bars with time left, on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm


class Bar:
    """Work of a known size, done in parts that each count from zero."""

    def __init__(self, bar: "tqdm[None]") -> None:
        self._bar = bar
        self._part_done = 0

    def begin(self, what: str) -> None:
        """A new part begins."""
        self._part_done = 0
        self._bar.set_description_str(what)

    def reached(self, done: int) -> None:
        """`done` of the current part are done."""
        self._bar.update(max(0, done - self._part_done))
        self._part_done = max(done, self._part_done)

    def end(self, size: int) -> None:
        """The part is over, and its whole size is done with, whether or not all of it happened."""
        self.reached(size)
        self._part_done = 0


@contextmanager
def bar(total: int, unit: str) -> Iterator[Bar]:
    with tqdm(
        total=total, unit=unit, unit_scale=total > 10_000, dynamic_ncols=True, mininterval=0.5, disable=None
    ) as shown:
        yield Bar(shown)


def unseen(done: int) -> None:
    """Progress nobody looks at: the part is too short, or counted as one."""
