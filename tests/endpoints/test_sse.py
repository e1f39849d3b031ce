"""Server-sent events: the same events however the network cuts them, within bounds."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.endpoints.reply import EventReader
from qwennb.errors import ServerFailed

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
ENDS = st.sampled_from(["\n", "\r\n"])


def events_of(pieces, **limits):
    reader = EventReader(**limits)
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.end()], reader.done


@st.composite
def streams(draw):
    """The bytes of a stream, and the data of its events."""
    lines, events = [], []
    for data in draw(st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=5)):
        for line in data:
            if draw(st.booleans()):
                lines.append(": " + draw(TEXTS))
            if draw(st.booleans()):
                lines.append("event: message")
            lines.append(("data: " if draw(st.booleans()) or line.startswith(" ") else "data:") + line)
        lines.extend([""] * draw(st.integers(1, 2)))
        whole = "\n".join(data).encode()
        if whole.strip() != b"[DONE]":
            events.append(whole)
    return "".join(line + draw(ENDS) for line in lines).encode(), events


@settings(max_examples=300, deadline=None)
@given(streams(), st.data())
@pytest.mark.slow
def test_any_chunking_gives_the_same_events(stream, data):
    whole, events = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert events_of(pieces)[0] == events
    assert events_of([whole[at : at + 1] for at in range(len(whole))])[0] == events


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_at_all_raise_nothing(pieces):
    whole = b"".join(pieces)
    assert events_of(pieces) == events_of([whole])


def test_characters_cut_in_the_middle_come_out_whole():
    whole = 'data: {"text": "Grüße, 世界 🐟"}\n\n'.encode()
    for at in range(len(whole)):
        assert events_of([whole[:at], whole[at:]])[0] == ['{"text": "Grüße, 世界 🐟"}'.encode()]


def test_comments_and_other_fields_are_no_events():
    said = b": OPENROUTER PROCESSING\n\nevent: x\nid: 7\nretry: 10\n\ndata: 1\n\n:\n\n"
    assert events_of([said])[0] == [b"1"]


def test_several_data_lines_are_one_event():
    assert events_of([b"data: {\ndata: }\n\n"])[0] == [b"{\n}"]


def test_only_one_space_after_the_colon_is_taken_off():
    assert events_of([b"data:  x\n\ndata:y\n\n"])[0] == [b" x", b"y"]


def test_done_is_told_and_is_no_event():
    assert events_of([b"data: 1\n\ndata: [DONE]\n\n"]) == ([b"1"], True)
    assert events_of([b"data: 1\n\ndata: [DONE]"]) == ([b"1"], True)
    assert events_of([b"data: 1\n\n"]) == ([b"1"], False)


def test_the_last_event_counts_without_its_blank_line():
    assert events_of([b"data: 1\n\ndata: 2"])[0] == [b"1", b"2"]


def test_a_line_without_end_is_cut_off():
    with pytest.raises(ServerFailed, match="One line") as caught:
        events_of([b"data: "] + [b"x" * 1000] * 10, most_line=5000)
    assert not caught.value.transient
    assert caught.value.maybe_billed


def test_a_stream_without_end_is_cut_off():
    with pytest.raises(ServerFailed, match="still going"):
        events_of([b"data: 1\n\n"] * 1000, most_body=5000)


def test_a_long_line_in_small_pieces_is_read_in_time_that_grows_with_its_length():
    # Looking through the whole line again for each piece would be 30,000 times 15 MB.
    piece = b"x" * 500
    started = time.process_time()
    events, _ = events_of([b"data: ", *[piece] * 30_000, b"\n\n"])
    assert time.process_time() - started < 2
    assert len(events[0]) == 500 * 30_000
