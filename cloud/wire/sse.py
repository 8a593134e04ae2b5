"""Server-sent events, the framing of a streamed answer (WHATWG HTML, section 9.2)."""

from cloud.wire.errors import UpstreamBroken

DONE = b"[DONE]"
MEDIA_TYPE = "text/event-stream"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def frame(data: bytes) -> bytes:
    """One event around one JSON document, whose line breaks, if it has any, are line feeds."""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"


class EventReader:
    """Cuts a byte stream, however it was chopped, into the data of its events.

    Only `data` fields matter to the chat API; comments and other fields are skipped. An event whose
    lines are longer than `max_event_bytes` raises UpstreamBroken: the reader never holds more than that.
    """

    def __init__(self, *, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._tail = b""
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes, in order."""
        if self._at_start:
            chunk = self._without_byte_order_mark(chunk)
        if self._after_cr and chunk:
            # The line ended with the CR of the chunk before; its LF, if it has one, ends nothing more.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return self._lines((self._tail + chunk).split(b"\n"))

    def _without_byte_order_mark(self, chunk: bytes) -> bytes:
        text = self._tail + chunk
        self._tail = b""
        self._at_start = len(text) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(text)
        return text if self._at_start else text.removeprefix(_BYTE_ORDER_MARK)

    def _lines(self, lines: list[bytes]) -> list[bytes]:
        self._tail = lines.pop()
        events = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
                    self._held = 0
                continue
            if self._held + len(line) > self._max:
                raise self._too_long()
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
                self._held += len(line)
        if self._held + len(self._tail) > self._max:
            raise self._too_long()
        return events

    def _too_long(self) -> UpstreamBroken:
        return UpstreamBroken(f"an event of the upstream's stream is longer than {self._max} bytes")

    @property
    def is_mid_event(self) -> bool:
        """True when the stream, should it end here, would end inside an event."""
        return bool(self._tail.strip() or self._data)
