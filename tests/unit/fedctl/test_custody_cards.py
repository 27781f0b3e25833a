"""Cards as people handle them: typed line by line, kept in files, known by their marks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedctl import custody_cards
from fedctl.custody_access import oldest_of
from fedctl.custody_cards import Cards
from fedctl.errors import WrongCard
from ledger.custody import ShareRecord
from ledger.custody_rotation import NO_BACKUP
from tests.support.known_bytes import known_bytes
from trust.printed import printed
from trust.shares import Holder, Share, new_share, new_shares

NOW = datetime(2026, 11, 21, tzinfo=UTC)
THREE = new_shares(known_bytes(21))
GUARDIAN = THREE[2]


def typed(lines: list[str]) -> tuple[Share, str]:
    """What came of these lines on the keyboard, and what was said."""
    runner = CliRunner()
    with runner.isolation(input="".join(f"{line}\n" for line in lines)) as (_, err, _):
        share = custody_cards.typed(Holder.GUARDIAN)
        return share, err.getvalue().decode()


def test_a_share_is_typed_in_line_by_line_with_or_without_numbers() -> None:
    lines = printed(GUARDIAN).splitlines()
    assert typed(lines)[0] == GUARDIAN
    share, said = typed([line[3:].lower().replace(" ", "-") for line in lines])
    assert share == GUARDIAN
    assert "line 4 of 4" in said


def test_a_wrong_line_is_asked_for_again_and_only_that_one() -> None:
    lines = printed(GUARDIAN).splitlines()
    wrong = lines[2][:-1] + ("0" if lines[2][-1] != "0" else "1")
    share, said = typed([lines[0], lines[1], wrong, "nonsense", lines[1], lines[2], lines[3]])
    assert share == GUARDIAN
    assert said.count("read it again") == 3
    assert said.count("line 2 of 4") == 1
    assert not any(line[3:] in said for line in lines)


def test_a_card_is_written_once_read_back_and_never_written_over(tmp_path: Path) -> None:
    cards = Cards(tmp_path / "new", "lab")
    path = cards.write(GUARDIAN, "acme", NOW)
    assert (path.name, path.stat().st_mode & 0o777) == ("guardian.txt", 0o600)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    before = path.read_bytes()
    assert cards.write(GUARDIAN, "acme", NOW) == path
    with pytest.raises(WrongCard, match="another share's card"):
        cards.write(new_share(Holder.GUARDIAN), "acme", NOW)
    assert path.read_bytes() == before
    assert cards.write(THREE[0], "acme", NOW).name == "client-acme.txt"
    assert cards.read(Holder.CLIENT, "acme") == THREE[0]
    assert cards.read(Holder.CLIENT, "other") is None


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"1: 2T4K\n", b"x" * 10_000, None])
def test_what_is_no_card_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "card.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongCard, match=r"card\.txt"):
        custody_cards.read(path)


def test_two_cards_of_one_holder_are_a_mistake() -> None:
    assert custody_cards.by_holder([*THREE, GUARDIAN])[Holder.GUARDIAN] == GUARDIAN
    with pytest.raises(WrongCard, match="two different cards of the guardian"):
        custody_cards.by_holder([GUARDIAN, new_share(Holder.GUARDIAN)])


def test_a_card_is_known_by_its_mark_and_a_clients_is_its_tenants() -> None:
    records = [
        ShareRecord(Holder.CLIENT, "acme", 1, THREE[0].mark(), NOW, "ada"),
        ShareRecord(Holder.GUARDIAN, "", 2, GUARDIAN.mark(), NOW, "ada"),
    ]
    assert custody_cards.checked(GUARDIAN, records, "acme") is GUARDIAN
    assert custody_cards.checked(THREE[0], records, "acme") is THREE[0]
    assert custody_cards.checked(THREE[0], records, "other") is THREE[0]
    with pytest.raises(WrongCard, match=f"on record is {GUARDIAN.mark().hex()}, number 2"):
        custody_cards.checked(new_share(Holder.GUARDIAN), records, "acme")


def test_without_any_backup_none_holds_anything() -> None:
    assert oldest_of({}) == NO_BACKUP
