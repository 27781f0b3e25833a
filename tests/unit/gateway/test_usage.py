"""Reading answers: events whole, [DONE] held back, usage found, whatever the chunks are."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream_errors import UpstreamFailed
from gateway.usage import StreamReader, Usage, read_answer, usage_in

CHUNK = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


def reader() -> StreamReader:
    return StreamReader(max_event_bytes=1000)


def test_a_stream_is_passed_on_with_its_end_held_back() -> None:
    stream = reader()
    assert stream.feed(CHUNK + USAGE + DONE) == CHUNK + USAGE
    assert stream.done and stream.tail == DONE
    assert stream.usage == Usage(3, 2) and stream.events == 2 and not stream.failed


def test_half_an_event_waits_for_its_other_half() -> None:
    stream = reader()
    assert stream.feed(CHUNK + b'data: {"cho') == CHUNK
    assert stream.feed(b'ices":[]}\n') == b""
    assert stream.feed(b"\n") == b'data: {"choices":[]}\n\n'


def test_done_without_its_blank_line_still_counts_at_the_end() -> None:
    stream = reader()
    assert stream.feed(CHUNK + b"data: [DONE]") == CHUNK
    assert not stream.done
    stream.end()
    assert stream.done and stream.tail == DONE


@pytest.mark.parametrize("rest", [b"", b"data: [DO", b'data: {"a":1}', b": comment", b"\n\n"])
def test_a_stream_cut_short_is_not_done(rest: bytes) -> None:
    stream = reader()
    stream.feed(CHUNK + rest)
    stream.end()
    assert not stream.done


def test_nothing_counts_after_done() -> None:
    stream = reader()
    stream.feed(DONE + USAGE)
    assert stream.feed(USAGE) == b"" and stream.usage == Usage()


def test_an_error_event_is_a_failure_also_before_done() -> None:
    stream = reader()
    stream.feed(b'data: {"error":{"message":"x"}}\n\n' + DONE)
    assert stream.failed and stream.done


def test_the_word_error_in_an_answer_is_no_failure() -> None:
    stream = reader()
    stream.feed(b'data: {"choices":[{"delta":{"content":"\\"error\\": 1"}}],"error":null}\n\n')
    assert not stream.failed


def test_an_event_may_be_large_but_not_endless() -> None:
    stream = reader()
    with pytest.raises(UpstreamFailed):
        for _ in range(100):
            stream.feed(b"x" * 100)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_any_line_end_the_standard_knows_ends_lines(end: bytes) -> None:
    text = (CHUNK + b": ping\n\n" + USAGE + DONE).replace(b"\n", end)
    stream = reader()
    assert stream.feed(text) + stream.tail == text
    assert stream.done and stream.usage == Usage(3, 2)


EVENTS = st.lists(
    st.sampled_from([CHUNK, USAGE, b": comment\n\n", b"event: x\ndata: y\ndata: z\n\n", b"\n\n"]),
    max_size=8,
)


@given(
    events=EVENTS,
    cuts=st.lists(st.integers(0, 400), max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_however_it_is_cut_the_bytes_and_the_findings_are_the_same(
    events: list[bytes], cuts: list[int], end: str
) -> None:
    whole = (b"".join(events) + DONE).replace(b"\n", end.encode())
    stream, passed, begin = reader(), b"", 0
    for cut in [*sorted(min(c, len(whole)) for c in cuts), len(whole)]:
        passed += stream.feed(whole[begin:cut])
        # What was passed on never ends inside an event's line.
        assert passed == b"" or passed.endswith((b"\n", b"\r"))
        begin = cut
    assert stream.done
    # A cut between the last \r and its \n: the line has ended, what follows adds nothing.
    assert whole in (passed + stream.tail, passed + stream.tail + b"\n")
    assert stream.usage == (Usage(3, 2) if USAGE in events else Usage())


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_passed_on_in_order_or_refused(chunks: list[bytes]) -> None:
    stream, passed = StreamReader(max_event_bytes=10_000), b""
    for chunk in chunks:
        passed += stream.feed(chunk)
    whole = b"".join(chunks)
    assert whole.startswith(passed)
    if stream.done:
        assert whole.startswith(passed + stream.tail)
        assert re.search(rb"\[DONE\]", stream.tail)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["usage", "error", "prompt_tokens", "x"]), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_usage_in_anything_is_counts_the_ledger_can_hold(value: object) -> None:
    found = usage_in(value)
    if found is not None:
        for count in (found.prompt_tokens, found.completion_tokens):
            assert count is None or 0 <= count < 2**31


@given(JSON)
def test_a_whole_answer_is_read_or_refused(value: object) -> None:
    body = orjson.dumps(value)
    if isinstance(value, dict) and not value.get("error"):
        assert isinstance(read_answer(body), Usage)
    else:
        with pytest.raises(UpstreamFailed):
            read_answer(body)


@pytest.mark.parametrize("usage", [{"prompt_tokens": True}, {"prompt_tokens": -1}, {}, [], "7", 7])
def test_usage_that_is_none_is_none(usage: object) -> None:
    assert usage_in({"usage": usage}) is None
