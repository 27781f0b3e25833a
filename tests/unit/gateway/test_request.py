"""What is read of a request before it is relayed."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, NotAuthenticated, NotJson
from gateway.request import (
    Call,
    authorization,
    bearer,
    check_content,
    parse_call,
    request_id,
    traceparent,
)

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_model_and_stream_are_read_and_the_body_stays_as_it_is() -> None:
    body = b'{"model": "m", "stream": true, "anything": {"else": [1, 2.0]}}'
    assert parse_call(body) == Call("m", True, body)
    assert parse_call(b'{"model":"m","stream":null}').stream is False


@given(st.binary(max_size=300))
def test_any_bytes_are_a_call_or_a_bad_request(body: bytes) -> None:
    try:
        assert parse_call(body).model
    except BadRequest as refusal:
        assert refusal.status == 400


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text() | st.integers(0, 9), max_size=5))
def test_the_message_never_repeats_the_content(fields: dict[str, object]) -> None:
    try:
        parse_call(orjson.dumps({**fields, "model": 3}))
    except BadRequest as refusal:
        assert refusal.message in {
            "'model' must be a short string.",
            "Write 'model' in lower case.",
            "Write 'stream' in lower case.",
        }


@pytest.mark.parametrize("name", ["Model", "MODEL", "mod\u0065L", "Stream", "\u017ftream"])
def test_a_deciding_name_in_another_case_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="lower case"):
        parse_call(orjson.dumps({"model": "m", name: "other"}))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"abc-1._X", True),
        (b"a" * 128, True),
        (b"a" * 129, False),
        (b"-a", False),
        (b"a b", False),
        (b"a\r\nx: y", False),
        (b"", False),
        (b"\xff", False),
    ],
)
def test_a_request_id_is_a_plain_token_or_ours(value: bytes, kept: bool) -> None:
    found = request_id([(b"x-request-id", value)], "fresh")
    assert found == (value.decode("latin-1") if kept else "fresh")


def test_two_request_ids_are_none() -> None:
    assert request_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")], "fresh") == "fresh"


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        (PARENT, True),
        (PARENT.upper(), False),
        (PARENT.replace("a", "0"), False),
        (PARENT.replace("b", "0"), False),
        ("01" + PARENT[2:], False),
        (PARENT + "-x", False),
    ],
)
def test_only_a_valid_traceparent_goes_on(value: str, valid: bool) -> None:
    assert traceparent([(b"traceparent", value.encode())]) == (value if valid else None)


@pytest.mark.parametrize(
    "value", [b"", b"Basic x", b"Bearer", b"Bearer \xff", b"Bearer " + b"x" * 999]
)
def test_what_cannot_be_a_key_is_not_looked_up(value: bytes) -> None:
    if value == b"Bearer":
        assert bearer(value) == ""
        return
    with pytest.raises(NotAuthenticated):
        bearer(value)


def test_two_authorizations_are_none() -> None:
    one = (b"authorization", b"Bearer a")
    assert authorization([one]) == b"Bearer a"
    assert authorization([one, one]) is authorization([]) is None
    with pytest.raises(NotAuthenticated):
        bearer(None)


@pytest.mark.parametrize(
    "header",
    [
        (b"content-type", b"text/plain"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-encoding", b"gzip"),
    ],
)
def test_other_content_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(NotJson):
        check_content([header])


def test_json_with_a_charset_is_json() -> None:
    check_content([(b"content-type", b"Application/JSON; charset=utf-8")])
    check_content([])
