"""A share on paper: four lines of sixteen characters that people can read to each other.

    1: 2T4K 9QWE RTY2 8ZXC

Crockford's base32: no I, L, O or U, and whoever reads 1 as I or 0 as O is understood. A line is 65
bits of the share and a 15-bit checksum, so that a mistake is found at its line. The checksum is a
cyclic code (CRC-15/CAN): it finds *every* change confined to three neighbouring characters, so any
single wrong character and any swap of neighbours; of wilder mistakes it misses 1 in 32,768. It also
covers the line's number and the checksum of the line before: lines out of order, or from two
different cards, are found as well. It protects against mistakes, not against anybody.

The first four bits say whose share it is (1 client, 2 gateway, 3 guardian; others: unknown).
"""

import re

from trust.errors import ShareUnreadable
from trust.hidden import SECRET_BYTES, Hidden
from trust.shares import HOLDERS, Share

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LINES, LINE_CHARS, CHECK_CHARS, GROUP = 4, 16, 3, 4
MAX_CHARS = 400
_DATA_BITS = 5 * (LINE_CHARS - CHECK_CHARS)
_CHECK_BITS = 5 * CHECK_CHARS
_GENERATOR = 0xC599
_SECRET_BITS = 8 * SECRET_BYTES
_NUMBER = re.compile(r"\s*([0-9])\s*[:.)]")
_IGNORED = " \t-"
_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_VALUES |= {"I": 1, "L": 1, "O": 0}
_VALUES |= {character.lower(): value for character, value in _VALUES.items()}


def printed(share: Share) -> str:
    """The four lines, numbered. This *is* the share: for paper, never for a log."""
    secret = int.from_bytes(share.secret.reveal(), "big")
    number = (HOLDERS.index(share.holder) + 1) << _SECRET_BITS | secret
    lines, before = [], 0
    for line in range(1, LINES + 1):
        data = number >> _DATA_BITS * (LINES - line) & (1 << _DATA_BITS) - 1
        before = _checksum(line, before, data)
        lines.append(f"{line}: {_spell(data << _CHECK_BITS | before)}")
    return "\n".join(lines)


def card(share: Share, federation: str, tenant: str, made: str) -> str:
    """The whole card, for paper: whose share it is, its four lines, and how to read them aloud.

    `tenant` is whose client's it is, '' for the gateways' and the guardian's; `made` is the date.
    """
    whose = (
        f"{share.holder} of the tenant {tenant}" if tenant else f"{share.holder}, for all tenants"
    )
    return (
        f"Federation {federation}: the share of the {whose}\n"
        f"made {made}, mark {share.mark().hex()}\n\n"
        f"{printed(share)}\n\n"
        "There is no letter I, L, O or U: 0 is zero, 1 is one. Each line ends with its checksum:\n"
        "read one aloud, have it read back, type it; a mistake is found and its line named.\n"
        "This card is the share. Any two of the three open everything: keep them apart.\n"
    )


def read_card(text: str) -> Share:
    """The share on a card, or bare lines of one. Raises ShareUnreadable as `parse` does."""
    lines = [line for line in text.splitlines() if _NUMBER.match(line)]
    return parse("\n".join(lines) if lines else text)


def parse(text: str) -> Share:
    """The share that `text` spells, in any case, spacing or hyphens, numbered or not.

    Raises ShareUnreadable, which names the first wrong line and never repeats what was in it.
    """
    if len(text) > MAX_CHARS:
        raise ShareUnreadable(1, f"more than {MAX_CHARS} characters are no share")
    lines = [line for line in text.splitlines() if line.strip(_IGNORED)]
    number, before = 0, 0
    for line in range(1, LINES + 1):
        if line > len(lines):
            raise ShareUnreadable(line, "is missing")
        value = _read(line, lines[line - 1])
        data, check = value >> _CHECK_BITS, value & (1 << _CHECK_BITS) - 1
        if check != _checksum(line, before, data):
            raise ShareUnreadable(line, "misread, or not in its place: its checksum does not fit")
        number, before = number << _DATA_BITS | data, check
    if len(lines) > LINES:
        raise ShareUnreadable(LINES + 1, f"a share has {LINES} lines")
    whose, secret = divmod(number, 1 << _SECRET_BITS)
    if not 1 <= whose <= len(HOLDERS):
        raise ShareUnreadable(1, "of a kind this version does not know")
    return Share(HOLDERS[whose - 1], Hidden(secret.to_bytes(SECRET_BYTES, "big")))


def _read(line: int, text: str) -> int:
    """The 80 bits of one line, its number taken off."""
    numbered = _NUMBER.match(text)
    if numbered:
        if numbered[1] != str(line):
            raise ShareUnreadable(line, "has another line's number")
        text = text[numbered.end() :]
    characters = [character for character in text if character not in _IGNORED]
    if any(character not in _VALUES for character in characters):
        raise ShareUnreadable(line, "has a character that no share has")
    if len(characters) != LINE_CHARS:
        raise ShareUnreadable(line, f"has {len(characters)} characters, not {LINE_CHARS}")
    value = 0
    for character in characters:
        value = value << 5 | _VALUES[character]
    return value


def _spell(value: int) -> str:
    characters = [ALPHABET[value >> 5 * place & 31] for place in reversed(range(LINE_CHARS))]
    groups = [characters[start : start + GROUP] for start in range(0, LINE_CHARS, GROUP)]
    return " ".join("".join(group) for group in groups)


def _checksum(line: int, before: int, data: int) -> int:
    """The remainder of (line, checksum before, data) by the generator, as polynomials over bits."""
    remainder = ((line << _CHECK_BITS | before) << _DATA_BITS | data) << _CHECK_BITS
    for place in reversed(range(_CHECK_BITS, remainder.bit_length())):
        if remainder >> place & 1:
            remainder ^= _GENERATOR << place - _CHECK_BITS
    return remainder
