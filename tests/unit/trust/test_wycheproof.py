"""Wycheproof's vectors for AES-GCM and HKDF-SHA256, through the functions custody uses.

Our wrapper is for keys of 256 bits, nonces of 96 and tags of 128 only. Groups of AES-128, AES-192
and other nonces are what it cannot express: it must refuse them, good cases or bad.
"""

import pytest

from tests.support.wycheproof import Case, cases
from trust.primitives import InvalidTag, decrypt, encrypt, hkdf

OURS = {"keySize": 256, "ivSize": 96, "tagSize": 128}
GCM = cases("Cipher", "wycheproof", "aes_gcm_test.json")
HKDF = cases("Protocol", "wycheproof", "hkdf_sha256_test.json")


def is_ours(case: Case) -> bool:
    return OURS.items() <= case.group.items()


def test_all_vectors_were_read() -> None:
    """As many as the first release with them had, or more."""
    assert len(GCM) >= 316
    assert sum(is_ours(case) for case in GCM) >= 66
    assert sum(is_ours(case) and case.result == "invalid" for case in GCM) >= 27
    assert len(HKDF) >= 86
    assert sum(case.result == "invalid" for case in HKDF) >= 3
    assert {case.result for case in (*GCM, *HKDF)} == {"valid", "invalid"}
    assert {case.group["tagSize"] for case in GCM} == {OURS["tagSize"]}


def test_aes_256_gcm() -> None:
    for case in filter(is_ours, GCM):
        key, nonce, aad, text, ciphertext, tag = case.bytes("key", "iv", "aad", "msg", "ct", "tag")
        if case.result == "valid":
            assert decrypt(key, nonce, ciphertext + tag, aad) == text, case
            assert encrypt(key, nonce, text, aad) == ciphertext + tag, case
        else:
            with pytest.raises(InvalidTag):
                decrypt(key, nonce, ciphertext + tag, aad)


def test_other_keys_and_nonces_are_refused() -> None:
    refused = [case for case in GCM if not is_ours(case)]
    assert len(refused) >= 250
    for case in refused:
        key, nonce, aad, text, ciphertext, tag = case.bytes("key", "iv", "aad", "msg", "ct", "tag")
        with pytest.raises(ValueError, match="a key has 32 bytes and a nonce 12"):
            decrypt(key, nonce, ciphertext + tag, aad)
        with pytest.raises(ValueError, match="a key has 32 bytes and a nonce 12"):
            encrypt(key, nonce, text, aad)


def test_hkdf_sha256() -> None:
    for case in HKDF:
        secret, salt, info, expected = case.bytes("ikm", "salt", "info", "okm")
        if case.result == "valid":
            assert hkdf(secret, info, case.fields["size"], salt) == expected, case
        else:
            with pytest.raises(ValueError, match="Cannot derive keys larger"):
                hkdf(secret, info, case.fields["size"], salt)
