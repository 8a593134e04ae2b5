"""Events come out the same however the bytes were chopped, and never beyond a bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.wire.errors import UpstreamBroken
from cloud.wire.sse import EventReader, frame

LINE_END = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A whole event stream, line ends mixed at will, and the data of its events."""
    end = draw(LINE_END)
    stream = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    events = []
    for lines in draw(st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=5)):
        for noise in draw(st.lists(st.sampled_from([b": ping", b"id: 7", b"event: x", b":"]), max_size=2)):
            stream += noise + end
        for line in lines:
            space = b" " if line.startswith(" ") or draw(st.booleans()) else b""
            stream += b"data:" + space + line.encode() + end
        stream += end
        events.append(b"\n".join(line.encode() for line in lines))
    return stream, events


@st.composite
def chopped(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    return [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


def read(parts: list[bytes], *, max_event_bytes: int = 10_000) -> list[bytes]:
    reader = EventReader(max_event_bytes=max_event_bytes)
    return [event for part in parts for event in reader.feed(part)]


@given(st.data())
def test_any_chopping_gives_the_events_that_were_sent(data: st.DataObject) -> None:
    stream, events = data.draw(streams())
    assert read(data.draw(chopped(stream))) == events


@given(st.data())
def test_every_byte_alone_gives_the_events_that_were_sent(data: st.DataObject) -> None:
    stream, events = data.draw(streams())
    assert read([stream[at : at + 1] for at in range(len(stream))]) == events


@given(st.data(), st.binary(max_size=60), st.integers(3, 30))
def test_any_chopping_of_anything_at_all_ends_the_same_way(
    data: st.DataObject, stream: bytes, limit: int
) -> None:
    def outcome(parts: list[bytes]) -> list[bytes] | str:
        try:
            return read(parts, max_event_bytes=limit)
        except UpstreamBroken:
            return "too long"

    assert outcome(data.draw(chopped(stream))) == outcome([stream])


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_a_framed_document_is_read_back_even_with_line_breaks_in_it(lines: list[str]) -> None:
    document = "\n".join(lines).encode()
    assert read([frame(document)]) == [document]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_an_event_is_given_out_as_soon_as_its_empty_line_is_there(end: bytes) -> None:
    assert read([b"data: [DONE]" + end + end]) == [b"[DONE]"]


@pytest.mark.parametrize(
    ("stream", "is_mid_event"),
    [
        (b"", False),
        (b"data: x\n\n", False),
        (b"data: x\r\n\r\n", False),
        (b"data: x\r\r", False),
        (b"data: x\n\n: ping\n", False),
        (b"data: x\n\n\n", False),
        (b"data: x\n", True),
        (b"data: x", True),
        (b"da", True),
        (b"data: x\n\ndata: y\r\n", True),
    ],
)
def test_an_end_inside_an_event_is_seen(stream: bytes, is_mid_event: bool) -> None:
    reader = EventReader(max_event_bytes=100)
    reader.feed(stream)
    assert reader.is_mid_event is is_mid_event


@pytest.mark.parametrize(
    "part",
    [b"data: " + b"x" * 50, b"data: x\n", b"data:\n", b"x" * 50, b": a comment without an end "],
    ids=["one long line", "many lines", "many empty lines", "no field", "a comment"],
)
def test_an_endless_event_is_refused_before_it_fills_the_memory(part: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="longer than 1000 bytes"):
        read([part] * 1000, max_event_bytes=1000)


def test_a_long_stream_of_short_events_is_no_long_event() -> None:
    assert len(read([b"data: x\n\n"] * 1000, max_event_bytes=20)) == 1000
