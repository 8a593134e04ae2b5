"""Server-sent events, the framing of a streamed answer (WHATWG HTML, section 9.2)."""

from cloud.wire.errors import UpstreamBroken

DONE = b"[DONE]"
MEDIA_TYPE = "text/event-stream"


def frame(data: bytes) -> bytes:
    """One event around one JSON document, which holds no line break."""
    return b"data: " + data + b"\n\n"


class EventReader:
    """Cuts a byte stream, however it was chopped, into the data of its events.

    Only `data` fields matter to the chat API; comments and other fields are skipped. An event longer
    than `max_event_bytes` raises UpstreamBroken: the reader never holds more than that.
    """

    def __init__(self, *, max_event_bytes: int) -> None:
        self._max = max_event_bytes
        self._tail = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that `chunk` completes, in order."""
        if b"\r" in chunk or self._tail.endswith(b"\r"):
            return self._feed_any_line_ending(chunk)
        return self._lines((self._tail + chunk).split(b"\n"))

    def _feed_any_line_ending(self, chunk: bytes) -> list[bytes]:
        text = self._tail + chunk
        # A trailing CR may be half of CRLF: it waits for the next chunk.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        events = self._lines(text.split(b"\n"))
        self._tail += held
        return events

    def _lines(self, lines: list[bytes]) -> list[bytes]:
        self._tail = lines.pop()
        events = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        if len(self._tail) + sum(map(len, self._data)) > self._max:
            raise UpstreamBroken(f"an event of the upstream's stream is longer than {self._max} bytes")
        return events

    @property
    def is_mid_event(self) -> bool:
        """True when the stream, should it end here, would end inside an event."""
        return bool(self._tail.strip() or self._data)
