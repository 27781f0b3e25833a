"""A share on paper: read back however it is typed, and every slip found at its line."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.known_bytes import known_bytes
from trust import printed
from trust.errors import ShareUnreadable
from trust.hidden import Hidden
from trust.shares import HOLDERS, Holder, Share, new_shares

shares = st.builds(Share, st.sampled_from(HOLDERS), st.binary(min_size=32, max_size=32).map(Hidden))
SHARE = Share(HOLDERS[1], Hidden(known_bytes(1)(32)))
OTHER = Share(HOLDERS[1], Hidden(known_bytes(2)(32)))


def bare(share: Share) -> list[str]:
    """Four lines of sixteen characters."""
    return [line[3:].replace(" ", "") for line in printed.printed(share).splitlines()]


def found(lines: list[str]) -> int:
    with pytest.raises(ShareUnreadable) as caught:
        printed.parse("\n".join(lines))
    return caught.value.line


@given(shares)
def test_a_printed_share_is_read_back(share: Share) -> None:
    text = printed.printed(share)
    assert re.fullmatch(r"(\d: ([0-9A-HJKMNP-TV-Z]{4}( |\n|$)){4}){4}", text)
    assert printed.parse(text) == share


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        lambda text: text.replace(" ", ""),
        lambda text: text.replace(" ", "-").replace(":-", ": "),
        lambda text: re.sub(r"\d: ", "", text),
        lambda text: text.replace(": ", ".   "),
        lambda text: f"\n\n  {text}  \n\n".replace("\n", "\r\n\t \r\n"),
        lambda text: re.sub(r"(?<!^)1(?!: )", "l", text, flags=re.M).replace("0", "O"),
        lambda text: re.sub(r"(?<!^)1(?!: )", "i", text, flags=re.M).replace("0", "o"),
    ],
    ids=["lower", "packed", "hyphens", "no numbers", "dots", "blank lines", "l and O", "i and o"],
)
def test_people_type_as_they_like(typed) -> None:  # type: ignore[no-untyped-def]
    for seed in range(20):
        share = Share(HOLDERS[seed % 3], Hidden(known_bytes(seed)(32)))
        assert printed.parse(typed(printed.printed(share))) == share


def test_every_single_wrong_character_is_found_at_its_line() -> None:
    lines = bare(SHARE)
    for line in range(4):
        for place in range(16):
            for character in set(printed.ALPHABET) - {lines[line][place]}:
                wrong = list(lines)
                wrong[line] = lines[line][:place] + character + lines[line][place + 1 :]
                assert found(wrong) == line + 1


@given(shares)
@settings(max_examples=25, deadline=None)
def test_every_swap_of_neighbours_is_found_at_its_line(share: Share) -> None:
    """Also of neighbours in different groups, and of next neighbours: any three in a row."""
    lines = bare(share)
    for line in range(4):
        for distance in (1, 2):
            for place in range(16 - distance):
                characters = list(lines[line])
                characters[place], characters[place + distance] = (
                    characters[place + distance],
                    characters[place],
                )
                wrong = [*lines[:line], "".join(characters), *lines[line + 1 :]]
                if wrong != lines:
                    assert found(wrong) == line + 1


@given(shares, st.integers(0, 3), st.integers(0, 16), st.characters())
def test_a_character_too_few_too_many_or_foreign_is_found(
    share: Share, line: int, place: int, character: str
) -> None:
    lines = bare(share)
    before = lines[line]
    if place < 16:
        lines[line] = before[:place] + before[place + 1 :]
        assert found(lines) == line + 1
    lines[line] = before[:place] + character + before[place:]
    if character in " \t-":
        assert printed.parse("\n".join(lines)) == share
    elif not character.isspace() and character not in "\x1c\x1d\x1e\x85":
        assert found(lines) == line + 1


@pytest.mark.parametrize("one", range(4))
@pytest.mark.parametrize("other", range(4))
def test_lines_out_of_order_are_found_at_the_first(one: int, other: int) -> None:
    lines = bare(SHARE)
    lines[one], lines[other] = lines[other], lines[one]
    if one != other:
        assert found(lines) == min(one, other) + 1


@pytest.mark.parametrize("line", range(4))
def test_a_line_of_another_card_is_found(line: int) -> None:
    lines = bare(SHARE)
    lines[line] = bare(OTHER)[line]
    # Line 1 starts the other card, so that there it is line 2 that does not belong.
    assert found(lines) == max(line + 1, 2)


def test_missing_additional_and_misnumbered_lines_are_named() -> None:
    lines = bare(SHARE)
    assert [found(lines[:count]) for count in range(4)] == [1, 2, 3, 4]
    assert found([*lines, lines[0]]) == 5
    assert found([lines[0], "3: " + lines[1], *lines[2:]]) == 2


def test_a_kind_of_a_later_version_is_refused() -> None:
    class Later:
        """A holder's place that this version does not know."""

        def index(self, holder: object) -> int:
            return 6

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(printed, "HOLDERS", Later())
        text = printed.printed(SHARE)
    with pytest.raises(ShareUnreadable, match="line 1: of a kind"):
        printed.parse(text)


@given(st.text(max_size=420))
def test_other_text_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ShareUnreadable) as caught:
        printed.parse(text)
    if len(text) > 12:
        assert text not in str(caught.value)


def test_a_slip_is_reported_without_the_share() -> None:
    lines = bare(SHARE)
    wrong = [*lines[:3], lines[3][:-1] + ("0" if lines[3][-1] != "0" else "2")]
    with pytest.raises(ShareUnreadable) as caught:
        printed.parse("\n".join(wrong))
    for line in wrong:
        assert line[:4] not in str(caught.value)


def test_a_card_of_today_is_read_tomorrow() -> None:
    card = (
        "1: 6001 081G 8186 0WD3|2: W40J 2GB1 G6GW 3K92"
        "|3: RG24 9165 0N2R BSTK|4: HG68 T3CE 1T7G ZB8Z"
    )
    share = Share(HOLDERS[2], Hidden(bytes(range(32))))
    assert printed.printed(share).splitlines() == card.split("|")
    assert printed.parse(card.replace("|", "\n")) == share


def test_the_checksum_is_crc_15_can() -> None:
    """The catalogue's check value of CRC-15/CAN for the text "123456789"."""
    number = int.from_bytes(b"123456789", "big")
    assert printed._checksum(0, number >> 65, number & (1 << 65) - 1) == 0x059E


def test_a_card_says_whose_it_is_and_is_read_back() -> None:
    for share in new_shares(known_bytes(11)):
        tenant = "acme" if share.holder is Holder.CLIENT else ""
        text = printed.card(share, "lab", tenant, "2026-11-21")
        assert printed.read_card(text) == share
        assert printed.read_card(printed.printed(share)) == share
        assert share.mark().hex() in text and str(share.holder) in text
        assert ("acme" in text) == bool(tenant)
        # Typed without the numbers, as somebody reads it out.
        bare = "\n".join(line[3:] for line in printed.printed(share).splitlines())
        assert printed.read_card(bare) == share


def test_a_card_that_was_cut_names_the_line() -> None:
    text = printed.card(SHARE, "lab", "", "2026-11-21")
    cut = "\n".join(line for line in text.splitlines() if not line.startswith("3:"))
    with pytest.raises(ShareUnreadable, match="line 3"):
        printed.read_card(cut)
