"""Ed25519 through the keys of notes: RFC 8032's answers, and signatures that are none.

The refusals are what Wycheproof's groups try (InvalidSignature, SignatureMalleability,
TruncatedSignature, SignatureWithGarbage); its own cases are in `test_wycheproof`.
"""

import pytest

from ledger.note import Kind, SignerKey, VerifierKey

ORDER = 2**252 + 27742317777372353535851937790883648493
# RFC 8032, 7.1, tests 1 and 2: secret, public key, message, signature.
PUBLISHED = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "r",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
SIGNER = SignerKey("a.example/log", Kind.ED25519, bytes(range(32)))
GOOD = SIGNER.sign("text\n").signature
R, S = GOOD[:32], int.from_bytes(GOOD[32:], "little")


@pytest.mark.parametrize(("secret", "public", "message", "signature"), PUBLISHED)
def test_the_answers_of_rfc_8032(secret: str, public: str, message: str, signature: str) -> None:
    signer = SignerKey("a.example/log", Kind.ED25519, bytes.fromhex(secret))
    assert signer.verifier.public.hex() == public
    assert signer.sign(message).signature.hex() == signature
    assert signer.verifier.verifies(message, bytes.fromhex(signature))


def test_every_flipped_bit_is_refused() -> None:
    assert SIGNER.verifier.verifies("text\n", GOOD)
    for place in range(8 * len(GOOD)):
        changed = bytearray(GOOD)
        changed[place // 8] ^= 1 << place % 8
        assert not SIGNER.verifier.verifies("text\n", bytes(changed)), place


@pytest.mark.parametrize("more", [1, 2, 3, 4, 7, 8])
def test_no_second_signature_can_be_made_of_a_good_one(more: int) -> None:
    """S plus a multiple of the group's order satisfies the equation; RFC 8032, 5.1.7 refuses it."""
    other = R + (S + more * ORDER).to_bytes(32, "little")
    assert not SIGNER.verifier.verifies("text\n", other)


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        R,
        GOOD[:-1],
        GOOD[1:],
        GOOD + b"\0",
        b"\0" + GOOD,
        GOOD * 2,
        bytes(64),
        b"\xff" * 64,
        R + bytes(32),
        R + ORDER.to_bytes(32, "little"),
        R + (ORDER - S).to_bytes(32, "little"),
        bytes(32) + GOOD[32:],
        GOOD[32:] + R,
        GOOD[::-1],
        GOOD.hex().encode(),
    ],
    ids=range(16),
)
def test_what_is_no_signature_is_refused(signature: bytes) -> None:
    assert not SIGNER.verifier.verifies("text\n", signature)


@pytest.mark.parametrize("public", [b"\xff" * 32, b"\x02" + bytes(31)], ids=["large", "off"])
def test_a_public_key_that_is_no_point_verifies_nothing(public: bytes) -> None:
    assert not VerifierKey("a.example/log", Kind.ED25519, public).verifies("text\n", GOOD)


def test_another_text_another_key_another_kind() -> None:
    assert not SIGNER.verifier.verifies("text", GOOD)
    assert not SIGNER.verifier.verifies("Text\n", GOOD)
    other = SignerKey("a.example/log", Kind.ED25519, bytes(32)).verifier
    assert not other.verifies("text\n", GOOD)
    cosigner = VerifierKey("a.example/log", Kind.COSIGNATURE_ED25519, SIGNER.verifier.public)
    assert not cosigner.verifies("text\n", GOOD)
    assert not cosigner.verifies("text\n", bytes(8) + GOOD)
