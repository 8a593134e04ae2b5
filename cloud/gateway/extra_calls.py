"""Calls that others have earned: retries and hedges stay a share of what is asked."""


class ExtraCalls:
    """Each call earns `share` of an extra one; at most `most` are saved up, beginning with `saved`.

    So an ailing or slow provider is not asked twice by everybody.
    """

    def __init__(self, share: float, *, most: float = 1.0, saved: float = 0.0) -> None:
        self._share = share
        self._most = most
        self._saved = saved

    def earn(self) -> None:
        self._saved = min(self._most, self._saved + self._share)

    def spend(self) -> bool:
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
