"""Columns that grow at their end without being copied for every value."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.float32, np.float64, np.int32, np.int64)


class Growing(Generic[Number]):
    """An array with room to spare; appending costs what it holds only each time that doubles."""

    def __init__(self, dtype: type[Number], *, width: int | None = None, size: int = 0) -> None:
        """`width`: of each row, for a table; None for a column. `size`: how many zeros it begins with."""
        room = max(4, size)
        self._rows: npt.NDArray[Number] = np.zeros((room,) if width is None else (room, width), dtype=dtype)
        self._size = size

    def __len__(self) -> int:
        return self._size

    def append(self, value: float | Sequence[float] | npt.NDArray[Number]) -> None:
        if self._size == len(self._rows):
            more = np.zeros_like(self._rows)
            self._rows = np.concatenate([self._rows, more])
        self._rows[self._size] = value
        self._size += 1

    @property
    def all(self) -> npt.NDArray[Number]:
        """A view, shape (size,) or (size, width), writable; not for keeping across an append."""
        return self._rows[: self._size]
