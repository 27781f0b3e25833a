"""ledger/content.py without a database: what is committed to, and what nobody can tell later."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.content import MAX_BYTES, Keys, commitment, opened, sealed
from ledger.errors import ContentAltered, UnknownContent
from ledger.identifiers import uuid7
from trust.datakeys import KeyName, new_data_key
from trust.errors import KeyExhausted

KEY = new_data_key(KeyName("acme/content", 1))
ID, OTHER = uuid7(1, 1), uuid7(1, 2)


@given(st.binary(max_size=2000))
def test_content_is_what_it_was(content: bytes) -> None:
    item = sealed(ID, content, KEY, sealed_before=0)
    assert opened(item, KEY) == content


def test_the_reference_says_nothing_of_the_content() -> None:
    first = sealed(ID, b"I have the flu", KEY, sealed_before=0)
    again = sealed(ID, b"I have the flu", KEY, sealed_before=1)
    # Whoever can guess the content cannot check the guess: each item has a key of its own.
    assert first.commitment != again.commitment
    assert first.reference() == {"content": str(ID), "commitment": first.commitment.hex()}
    assert b"flu" not in first.envelope
    assert "flu" not in repr(first)


def test_the_key_of_the_commitment_is_in_the_envelope_alone() -> None:
    own = bytes(range(32))
    item = sealed(ID, b"x", KEY, sealed_before=0, random=lambda size: own[:size])
    assert item.commitment == commitment(own, ID, b"x")
    assert own not in item.envelope


@pytest.mark.parametrize(
    ("key", "content_id", "content"),
    [(b"k" * 32, ID, b"other"), (b"k" * 32, OTHER, b"content"), (b"K" * 32, ID, b"content")],
    ids=["other content", "another item", "another key"],
)
def test_a_commitment_is_to_one_content_of_one_item(
    key: bytes, content_id: UUID, content: bytes
) -> None:
    assert commitment(b"k" * 32, ID, b"content") != commitment(key, content_id, content)


def test_what_was_changed_or_moved_does_not_open() -> None:
    item = sealed(ID, b"content", KEY, sealed_before=0)
    other = sealed(ID, b"other", KEY, sealed_before=1)
    stranger = new_data_key(KEY.name)
    bad = [
        (replace(item, id=OTHER), KEY),
        (replace(item, envelope=other.envelope), KEY),
        (replace(item, commitment=other.commitment), KEY),
        (replace(item, envelope=item.envelope[:-1]), KEY),
        (replace(item, envelope=b""), KEY),
        (item, stranger),
    ]
    for changed, key in bad:
        with pytest.raises(ContentAltered):
            opened(changed, key)


def test_limits_are_kept() -> None:
    with pytest.raises(ValueError, match="at most"):
        sealed(ID, bytes(MAX_BYTES + 1), KEY, sealed_before=0)
    with pytest.raises(KeyExhausted):
        sealed(ID, b"", KEY, sealed_before=2**32)


def test_an_older_key_is_found_by_its_name() -> None:
    newer = new_data_key(KeyName("acme/content", 2))
    keys = Keys(newer, {KEY.name: KEY})
    assert keys.named(newer.name) is newer
    assert keys.named(KEY.name) is KEY
    with pytest.raises(UnknownContent, match="not at hand"):
        keys.named(KeyName("acme/content", 3))
