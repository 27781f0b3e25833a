"""NIST's CAVP vectors for AES-256-GCM and RFC 5869's for HKDF, through the functions custody uses.

Wycheproof's are in `test_wycheproof`.
"""

import re
from dataclasses import dataclass

import cryptography_vectors
import pytest

from trust.primitives import InvalidTag, decrypt, encrypt, hkdf

# Nonces of 96 bits and tags of 128 are how we use it.
OURS = "[IVlen = 96]", "[Taglen = 128]"
FIELD = re.compile(r"^(\w+) *= *(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One case: its fields as bytes, and whether it must be refused."""

    fields: dict[str, bytes]
    refused: bool

    def sealed(self) -> bytes:
        """Ciphertext and tag, as the wrapper writes them."""
        return self.fields["CT"] + self.fields["Tag"]


def published(*path: str) -> str:
    """A file of the vectors that come with `cryptography`."""
    with cryptography_vectors.open_vector_file("/".join(path), "r") as file:
        return str(file.read())


def gcm() -> list[Case]:
    found, heading = [], ""
    for block in re.split(r"^(?=Count = \d+$|\[Keylen)", FILE, flags=re.MULTILINE):
        if block.startswith("["):
            heading = block
        elif block.startswith("Count") and all(line in heading for line in OURS):
            fields = {name: bytes.fromhex(value) for name, value in FIELD.findall(block)[1:]}
            found.append(Case(fields, "FAIL" in block.split()))
    return found


FILE = published("ciphers", "AES", "GCM", "gcmDecrypt256.rsp")
GCM = gcm()


def test_all_vectors_were_read() -> None:
    assert len(GCM) == 375
    assert sum(case.refused for case in GCM) == 191
    assert all({"Key", "IV", "CT", "AAD", "Tag"} <= set(case.fields) for case in GCM)
    assert all(("PT" in case.fields) != case.refused for case in GCM)


def test_every_good_case_opens_and_is_what_we_would_have_sealed() -> None:
    for case in GCM:
        if not case.refused:
            key, nonce, associated = (case.fields[name] for name in ("Key", "IV", "AAD"))
            assert decrypt(key, nonce, case.sealed(), associated) == case.fields["PT"]
            assert encrypt(key, nonce, case.fields["PT"], associated) == case.sealed()


def test_every_case_that_must_fail_is_refused() -> None:
    for case in GCM:
        if case.refused:
            key, nonce, associated = (case.fields[name] for name in ("Key", "IV", "AAD"))
            with pytest.raises(InvalidTag):
                decrypt(key, nonce, case.sealed(), associated)


def test_good_cases_with_a_shortened_tag_are_refused() -> None:
    """Shorter tags are cheaper to guess: GCM allows them, we do not."""
    for case in GCM:
        if not case.refused:
            key, nonce, associated = (case.fields[name] for name in ("Key", "IV", "AAD"))
            for cut in (1, 4, 8, 12, 15):
                with pytest.raises(InvalidTag):
                    decrypt(key, nonce, case.sealed()[:-cut], associated)


def test_hkdf_gives_every_answer_of_rfc_5869() -> None:
    text = published("KDF", "rfc-5869-HKDF-SHA256.txt")
    cases = [dict(FIELD.findall(block)) for block in text.split("COUNT")[1:]]
    assert len(cases) == 3
    for case in cases:
        secret, salt, info, okm = (bytes.fromhex(case[n]) for n in ("IKM", "salt", "info", "OKM"))
        assert hkdf(secret, info, int(case["L"]), salt or None) == okm


@pytest.mark.parametrize("length", [255 * 32 + 1, 10**6])
def test_hkdf_gives_no_more_than_it_can(length: int) -> None:
    with pytest.raises(ValueError, match=r"[0-9]"):
        hkdf(b"k" * 32, b"", length)
