"""Warrants: halves for a rotation's epochs and nothing else, closed under the guardian's share."""

import json

import pytest

from trust import shares, warrants
from trust.datakeys import KeyName, new_data_key
from trust.errors import BlobUnreadable, HalfRefused, ShareRefused
from trust.shares import unwrap, verify, wrap

THREE = shares.new_shares()
KEY = "acme/content"
KEYS = [new_data_key(KeyName(KEY, epoch)) for epoch in (1, 2, 3)]
WRAPPED = [wrap(key, THREE) for key in KEYS]
WARRANT = warrants.issue(KEY, 1, 2, [1], THREE[:2])


def test_with_the_guardians_share_it_opens_its_epochs_and_no_other() -> None:
    assert WARRANT.epochs == [1, 2]
    for key, wrapped in zip(KEYS[:2], WRAPPED[:2], strict=True):
        assert verify(wrapped, (*WARRANT.keepers, THREE[2])) == key
    with pytest.raises(HalfRefused):
        unwrap(WRAPPED[2], (WARRANT.keepers[0], THREE[2]))
    other = wrap(new_data_key(KeyName("evil/content", 1)), THREE)
    with pytest.raises(HalfRefused):
        unwrap(other, (WARRANT.keepers[0], THREE[2]))


def test_it_is_sent_and_read() -> None:
    found = warrants.read(WARRANT.to_bytes())
    assert found == WARRANT
    assert THREE[0].secret.reveal().hex() not in WARRANT.to_bytes().decode()
    for secret in WARRANT.keepers[0].halves.values():
        assert secret.secret.reveal().hex() not in repr(WARRANT)


@pytest.mark.parametrize(
    "change",
    [
        {"old": 2},
        {"new": 3},
        {"new": "2"},
        {"key": 7},
        {"more": 1},
        {"halves": {}},
        {"halves": {"client": {"1": "00"}, "gateway": {"1": "00"}}},
    ],
)
def test_what_is_no_warrant_is_refused_and_not_repeated(change: dict[str, object]) -> None:
    sent = json.dumps({**json.loads(WARRANT.to_bytes()), **change}).encode()
    with pytest.raises(BlobUnreadable, match=r"^no warrant$"):
        warrants.read(sent)
    for bad in (b"", b"[]", b"{", b"\xff"):
        with pytest.raises(BlobUnreadable):
            warrants.read(bad)


def test_kept_it_opens_with_this_guardians_share_as_this_keys_only() -> None:
    blob = warrants.closed(WARRANT, THREE[2])
    assert warrants.opened(blob, KEY, THREE[2]) == WARRANT
    for secret in WARRANT.keepers[0].halves.values():
        assert secret.secret.reveal() not in blob
        assert secret.secret.reveal().hex().encode() not in blob
    for share, key in ((shares.new_shares()[2], KEY), (THREE[0], KEY), (THREE[2], "evil/content")):
        with pytest.raises(BlobUnreadable):
            warrants.opened(blob, key, share)
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 1
        with pytest.raises(BlobUnreadable):
            warrants.opened(bytes(changed), KEY, THREE[2])


def test_it_takes_the_clients_and_the_gateways_share() -> None:
    with pytest.raises(ValueError, match="client's and the gateway's"):
        warrants.issue(KEY, 1, 2, [1], THREE[1:])
    stranger = warrants.issue(KEY, 1, 2, [1], shares.new_shares()[:2])
    with pytest.raises(ShareRefused):
        verify(WRAPPED[0], (*stranger.keepers, THREE[2]))
