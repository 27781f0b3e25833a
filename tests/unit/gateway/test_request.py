"""What is read of a request before it is relayed."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BadRequest, NotAuthenticated, NotJson
from gateway.request import (
    DECIDING_FIELDS,
    USUAL_FIELDS,
    Call,
    authorization,
    bearer,
    check_content,
    parse_call,
    prefix_of,
    request_id,
    traceparent,
    with_model,
)
from gateway.routes import ROUTES

CHAT, EMBEDDINGS = ROUTES["/v1/chat/completions"], ROUTES["/v1/embeddings"]
FRESH = "0192f0c1-0000-7000-8000-000000000000"
PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_model_and_stream_are_read_and_the_body_stays_as_it_is() -> None:
    body = b'{"model": "m", "stream": false, "anything": {"else": [1, 2.0]}}'
    call = parse_call(body, CHAT)
    assert (call.model, call.stream, call.body) == ("m", False, body)
    assert (call.max_tokens, call.answers, call.hides_usage) == (None, 1, False)
    assert parse_call(b'{"model":"m","stream":null}', CHAT).stream is False


@given(st.binary(max_size=300))
def test_any_bytes_are_a_call_or_a_bad_request(body: bytes) -> None:
    try:
        assert parse_call(body, CHAT).model
    except BadRequest as refusal:
        assert refusal.status == 400


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text() | st.integers(0, 9), max_size=5))
def test_the_message_never_repeats_the_content(fields: dict[str, object]) -> None:
    try:
        parse_call(orjson.dumps({**fields, "model": 3}), CHAT)
    except BadRequest as refusal:
        assert refusal.message in {
            "'model' must be a short string.",
            "Write 'model' in lower case.",
            "Write 'stream' in lower case.",
        }


@pytest.mark.parametrize("name", ["Model", "MODEL", "mod\u0065L", "Stream", "\u017ftream"])
def test_a_deciding_name_in_another_case_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match="lower case"):
        parse_call(orjson.dumps({"model": "m", name: "other"}), CHAT)


def test_no_usual_name_is_a_deciding_one_in_another_case() -> None:
    assert all(name.casefold() == name for name in USUAL_FIELDS)
    assert USUAL_FIELDS.issuperset(DECIDING_FIELDS)


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
    found = request_id({b"x-request-id": value}, FRESH)
    assert found == (value.decode("latin-1") if kept else FRESH)


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
    assert traceparent({b"traceparent": value.encode()}) == (value if valid else None)


@pytest.mark.parametrize(
    "value", [b"", b"Basic x", b"Bearer", b"Bearer \xff", b"Bearer " + b"x" * 999]
)
def test_what_cannot_be_a_key_is_not_looked_up(value: bytes) -> None:
    if value == b"Bearer":
        assert bearer(value) == ""
        return
    with pytest.raises(NotAuthenticated):
        bearer(value)


def test_anthropics_clients_show_their_key_in_a_header_of_their_own() -> None:
    shown = {b"x-api-key": b"a"}
    assert authorization(shown) is authorization({}, anthropic=True) is None
    assert authorization(shown, anthropic=True) == b"Bearer a"
    both = {**shown, b"authorization": b"Bearer b"}
    assert authorization(both, anthropic=True) == b"Bearer b"
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
        check_content(dict([header]))


def test_json_with_a_charset_is_json() -> None:
    check_content({b"content-type": b"Application/JSON; charset=utf-8"})
    check_content({})


@pytest.mark.parametrize(
    ("more", "hidden"),
    [
        ({}, True),
        ({"stream_options": None}, True),
        ({"stream_options": {"include_usage": False, "x": 1}}, True),
        ({"stream_options": {"include_usage": True}}, False),
    ],
)
def test_a_stream_is_always_asked_for_usage(more: dict[str, object], hidden: bool) -> None:
    call = parse_call(orjson.dumps({"model": "m", "stream": True, **more}), CHAT)
    sent = orjson.loads(call.body)
    assert sent["stream_options"]["include_usage"] is True
    assert call.hides_usage is hidden
    assert (sent["model"], sent["stream"]) == ("m", True)


def test_usage_is_asked_for_by_adding_bytes_and_changing_none() -> None:
    body = b' { "model":"m", "stream":true, "x": 1e2 }'
    call = parse_call(body, CHAT)
    assert call.body.endswith(body[2:]) and orjson.loads(call.body)["x"] == 100


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"model":"a","model":"b"}', "twice"),
        (b'{"model":"a","mod\\u0065l":"b"}', "twice"),
        (b'{"model":"a","stream":false,"stream":true}', "twice"),
        (b'{"model":"a","n":9}', "between 1 and 8"),
        (b'{"model":"a","n":0}', "between 1 and 8"),
        (b'{"model":"a","n":true}', "integer"),
        (b'{"model":"a","best_of":"3"}', "integer"),
        (b'{"model":"a","stream":true,"stream_options":7}', "object"),
    ],
)
def test_what_engines_might_read_differently_or_too_much_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse_call(body, CHAT)


def test_a_name_may_come_again_deeper_down_or_as_a_value() -> None:
    body = b'{"model":"a","tools":[{"model":"x","stream":1}],"stop":["model"]}'
    assert parse_call(body, CHAT).model == "a"


def test_embeddings_are_not_streamed() -> None:
    with pytest.raises(BadRequest, match="stream"):
        parse_call(b'{"model":"a","stream":true}', EMBEDDINGS)


def test_the_bound_is_of_all_choices_together() -> None:
    assert parse_call(b'{"model":"a","n":4,"max_tokens":10}', CHAT).max_tokens == 40
    assert parse_call(b'{"model":"a","max_tokens":-1}', CHAT).max_tokens is None


@given(st.text(min_size=1, max_size=9), st.text(min_size=1, max_size=9))
def test_an_alias_becomes_the_model_and_nothing_else_changes(alias: str, real: str) -> None:
    body = orjson.dumps({"a": [1.5, "model"], "model": alias, "messages": [{"content": alias}]})
    changed = with_model(Call(alias, False, body), real)
    assert orjson.loads(changed.body) == {**orjson.loads(body), "model": real}


def test_requests_that_begin_alike_have_one_prefix() -> None:
    def prefix(text: str) -> bytes:
        fields = {"model": "m", "messages": [{"role": "user", "content": "same " * 50 + text}]}
        return prefix_of(Call("m", False, orjson.dumps(fields)), CHAT, 100)

    assert prefix("one") == prefix("two") and len(prefix("one")) == 100


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_a_body_too_deep_to_be_written_anew_is_refused_and_otherwise_passed_on() -> None:
    start = b'{"model":"tiny","stream":true,"x":' + nested(300)
    assert parse_call(start + b"}", CHAT).body.endswith(start[1:] + b"}")
    with pytest.raises(BadRequest, match="too deeply"):
        parse_call(start + b',"stream_options":{}}', CHAT)
    call = parse_call(b'{"model":"nick","x":' + nested(300) + b',"y":["model"]}', CHAT)
    with pytest.raises(BadRequest, match="too deeply"):
        with_model(call, "tiny")
