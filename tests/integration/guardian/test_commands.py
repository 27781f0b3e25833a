"""`fedctl custody ...` on a real database with a real guardian, as a person types it."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploys.own_secrets import guardian_share, operator_signing
from fedctl.custody_access import CustodyAccess
from fedctl.custody_cards import Cards, read
from fedctl.custody_lab import BY_HAND, StoredCards, set_up
from ledger import content, custody
from ledger.connect import connect
from ledger.content import Keys
from ledger.custody import By
from ledger.custody_rotation import NO_BACKUP
from ledger.identifiers import new_id
from tests.support.guardians import guarding, make_guardian
from tests.support.postgres import Server
from tests.unit.fedctl.fakes import NOW, Stage
from trust.callers import public_hex
from trust.printed import printed
from trust.shares import Holder, Share

pytestmark = pytest.mark.postgres
KEY = "default/content"
LAB_KEYS = f"{KEY}, default/prompts"
ALL = ("client-default.txt", "gateway.txt", "guardian.txt")


class Desk:
    """An operator, their commands, and a folder of cards."""

    def __init__(self, server: Server, folder: Path) -> None:
        clients = server.root / "clients"
        self.server, self.stage, self.cards = server, Stage(folder), folder / "cards"
        self.oldest: datetime | None = NO_BACKUP
        self.stage.custody = CustodyAccess(
            settings=server.settings("operator", connect_timeout_seconds=60.0),
            authority=server.root / "ca.pem",
            certificate=clients / "operator.pem",
            key=clients / "operator.key",
            by=By("ada@desk", "desk"),
            home=self.stage.home,
            guardian_port=9106,
            oldest_backup=lambda: self.oldest,
            issuer=lambda: server.authority,
        )

    def fedctl(self, *argv: str) -> int:
        """Run `fedctl custody`; the exit code."""
        return self.stage.fedctl("custody", *argv)

    def answer(self, *argv: str) -> Any:
        """What it says as JSON, when it ends well."""
        assert self.fedctl(*argv, "--json") == 0, self.stage.err.getvalue()
        return json.loads(self.stage.out.getvalue())

    def init(self, *argv: str) -> Any:
        """`custody init` with this folder."""
        return self.answer("init", "--cards", str(self.cards), *argv)

    def lay_out_stored_cards(self) -> None:
        """Write the shares that a lab's store has onto cards, as people have them."""
        stored, cards = StoredCards(self.stage.home), Cards(self.cards, "lab")
        guardian = guardian_share(self.stage.home)
        for share in (
            *(stored.read(h, "default") for h in (Holder.CLIENT, Holder.GATEWAY)),
            guardian,
        ):
            assert share is not None
            cards.write(share, "default", NOW)

    def with_cards(self, *names: str) -> list[str]:
        """`--share` for each of these cards."""
        return [word for name in names for word in ("--share", str(self.cards / name))]

    def share(self, name: str) -> Share:
        """The share on a card."""
        return read(self.cards / name)

    def do(self, work: Callable[..., Any]) -> Any:
        """Run a coroutine on a connection of the operator."""

        async def run() -> Any:
            async with await connect(self.server.settings("operator")) as connection:
                return await work(connection)

        return asyncio.run(run())

    def say(self, said: bytes) -> dict[str, Any]:
        """Keep personal content under the key; the reference to it."""

        async def work(connection: Any) -> dict[str, Any]:
            item = await content.store(connection, await self.keys(connection), new_id(), said)
            return item.reference()

        found: dict[str, Any] = self.do(work)
        return found

    def hear(self, reference: dict[str, Any], *names: str) -> bytes:
        """The content, by these two cards."""

        async def work(connection: Any) -> bytes:
            return await content.read(connection, await self.keys(connection, *names), reference)

        found: bytes = self.do(work)
        return found

    async def keys(self, connection: Any, *names: str) -> Keys:
        """The data keys, by two cards."""
        return await custody.open_key(
            connection, KEY, [self.share(name) for name in names or ALL[:2]]
        )

    def kinds(self) -> list[str]:
        """Events of custody, in their order."""
        sql = "SELECT kind FROM ledger.inbox WHERE kind LIKE 'custody.%' ORDER BY arrival"
        return self.server.psql(sql, "federation").split()


@pytest.fixture
def desk(database: Server, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def test_init_makes_keys_and_cards_once_and_then_changes_nothing(desk: Desk) -> None:
    assert desk.init("--dry-run") == {"keys": [KEY], "cards": ["client", "gateway", "guardian"]}
    assert not desk.cards.exists() and desk.kinds() == []
    made = desk.init()
    assert (made["keys"], made["cards"]) == ([KEY], list(ALL))
    for name in ALL:
        assert (desk.cards / name).stat().st_mode & 0o777 == 0o600
    assert desk.kinds() == ["custody.share"] * 3 + ["custody.made"]
    assert desk.init()["keys"] == []
    assert desk.init("--dry-run") == {"keys": [], "cards": []}
    assert desk.kinds() == ["custody.share"] * 3 + ["custody.made"]
    shown = desk.answer("status")
    assert [(key["key_id"], key["epochs"]) for key in shown["keys"]] == [(KEY, {"1": 0})]
    assert {s["holder"]: s["mark"] for s in shown["shares"]} == {
        desk.share(name).holder: desk.share(name).mark().hex() for name in ALL
    }
    assert desk.fedctl("status") == 0
    assert "client" in desk.stage.out.getvalue()
    # No share, nor any line of a card, is in what was said, in the run's files or in the database.
    lines = [line[3:] for name in ALL for line in (desk.cards / name).read_text().splitlines()[3:7]]
    kept = "".join(p.read_text() for p in desk.stage.home.runs.rglob("*") if p.is_file())
    said = kept + desk.stage.out.getvalue() + desk.stage.err.getvalue()
    assert len(lines) == 12 and not [line for line in lines if line in said]


def test_another_tenant_needs_the_cards_that_are_everybodys(desk: Desk) -> None:
    desk.init()
    desk.server.psql(
        "INSERT INTO ledger.tenants (name, created_by) VALUES ('acme', 'ada')", "federation"
    )
    other = desk.cards.parent / "other"
    arguments = ("init", "--tenant", "acme", "--cards", str(other))
    assert desk.fedctl(*arguments) == 1
    assert "the gateway has a share since" in desk.stage.err.getvalue()
    made = desk.answer(*arguments, *desk.with_cards("gateway.txt"))
    assert (made["keys"], made["cards"]) == (["acme/content"], ["client-acme.txt"])
    assert read(other / "client-acme.txt") != desk.share("client-default.txt")


def test_content_survives_a_rotation_and_the_old_key_waits_for_backups(desk: Desk) -> None:
    desk.init()
    said = desk.say(b"I think that I have the flu")
    before = desk.answer("rotate", KEY, "--dry-run")
    assert (before["from"], before["to"], before["phase"]) == (1, 2, "prepare")
    assert desk.fedctl("rotate", KEY, *desk.with_cards(*ALL[:2])) == 1
    assert "guardian is missing" in desk.stage.err.getvalue()
    assert desk.answer("status")["rotations"] == {}
    desk.oldest = None
    waiting = desk.answer("rotate", KEY, *desk.with_cards(*ALL))
    assert (waiting["result"], waiting["phase"]) == ("wait", "retire")
    assert "backup" in waiting["reason"]
    assert desk.answer("status")["keys"][0]["epochs"] == {"1": 0, "2": 1}
    desk.oldest = NO_BACKUP
    assert desk.answer("rotate", KEY, *desk.with_cards(*ALL))["result"] == "done"
    assert desk.answer("status")["keys"][0]["epochs"] == {"2": 1}
    assert desk.hear(said, *ALL[1:]) == b"I think that I have the flu"
    assert desk.fedctl("rotate", "default/none", *desk.with_cards(*ALL)) == 1


@pytest.mark.parametrize("lost", ALL)
def test_each_lost_share_is_replaced_and_opens_nothing_any_more(desk: Desk, lost: str) -> None:
    desk.init()
    said = desk.say(b"remember me")
    kept = [name for name in ALL if name != lost]
    gone = desk.share(lost)
    (desk.cards / lost).unlink()
    holder = gone.holder.value
    tenant = ("--tenant", "default") if holder == "client" else ()
    arguments = ("recover", "--lost", holder, *tenant, "--cards", str(desk.cards))
    assert desk.fedctl(*arguments, *desk.with_cards(*kept)) == 2  # nobody said yes
    assert desk.fedctl(*arguments, *desk.with_cards(kept[0]), "--yes") == 1
    assert "share (mark" in desk.stage.err.getvalue()
    assert not (desk.cards / lost).exists()
    made = desk.answer(*arguments, *desk.with_cards(*kept), "--yes")
    assert (made["keys"], made["card"]) == ([f"{KEY} epoch 1"], lost)
    assert guardian_share(desk.stage.home) == desk.share("guardian.txt")
    for pair in (kept, [kept[0], lost], [kept[1], lost]):
        assert desk.hear(said, *pair) == b"remember me"
    # The old card is known for what it is.
    desk.cards.joinpath("old.txt").write_text(printed(gone))
    assert desk.fedctl("drill", *desk.with_cards("old.txt")) == 1
    assert "number 2" in desk.stage.err.getvalue()
    # Again, with the new card lying there: nothing is lost.
    assert desk.fedctl(*arguments, *desk.with_cards(*kept), "--yes") == 1
    assert "is on record" in desk.stage.err.getvalue()


def test_a_recovery_that_was_cut_off_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is written and on record, one key of two is wrapped anew: then the power goes."""
    desk.init("--class", "content", "--class", "notes")
    kept, real, done = ALL[:2], custody.put_back, []

    async def dying(*arguments: Any) -> None:
        if done:
            raise KeyboardInterrupt
        done.append(arguments[1])
        await real(*arguments)

    (desk.cards / "guardian.txt").unlink()
    arguments = ("recover", "--lost", "guardian", "--cards", str(desk.cards), "--yes")
    monkeypatch.setattr(custody, "put_back", dying)
    assert desk.fedctl(*arguments, *desk.with_cards(*kept)) == 130
    monkeypatch.setattr(custody, "put_back", real)
    assert done == [KEY]
    made = desk.answer(*arguments, *desk.with_cards(*kept))
    assert made["keys"] == ["default/notes epoch 1"]
    assert desk.answer("rotate", "default/notes", *desk.with_cards(*ALL))["result"] == "done"


def test_a_drill_loses_each_share_and_leaves_nothing_behind(desk: Desk) -> None:
    desk.init()
    found = desk.answer("drill", *desk.with_cards(*ALL))
    assert [each["lost"] for each in found["rehearsed"]] == ["client", "gateway", "guardian"]
    assert all(each["pairs"] == 3 and 0 < each["seconds"] < 60 for each in found["rehearsed"])
    assert found["real"] == ["client", "gateway", "guardian"]
    assert desk.answer("drill")["real"] == []
    shown = desk.answer("status")
    assert [key["key_id"] for key in shown["keys"]] == [KEY]
    assert {share["version"] for share in shown["shares"]} == {1}
    [event] = [e for e in desk.stage.ledger.events if e.kind == "fedctl.custody.drill"][:1]
    assert len(event.data["rehearsed"]) == 3


def test_the_guardian_stands_in_for_its_card(desk: Desk, tmp_path: Path) -> None:
    """Init, drill and rotation with the guardian asked: one release for each data key."""
    desk.init()
    share = desk.share("guardian.txt")
    (desk.cards / "guardian.txt").unlink()
    # Each request of these commands is signed with the key in the operator's store.
    known = {"operator": public_hex(operator_signing(desk.stage.home))}
    with guarding(make_guardian(desk.server, tmp_path / "g", share, known=known)) as guardian:
        place = ("--guardian", f"127.0.0.1:{guardian.port}")
        two = desk.with_cards(*ALL[:2])
        assert desk.answer("drill", *two, *place)["real"] == ["client", "gateway", "guardian"]
        assert desk.answer("rotate", KEY, *two, *place)["result"] == "done"
        assert desk.kinds().count("custody.released") == 3 + 1
        guardian.stop()
        assert desk.fedctl("rotate", KEY, *two, *place) == 6
        assert "cannot be asked" in desk.stage.err.getvalue()
    assert desk.fedctl("drill", "--guardian", "nowhere:x") == 1


def test_a_card_that_was_misread_is_named_with_its_line(desk: Desk) -> None:
    desk.init()
    text = (desk.cards / "gateway.txt").read_text()
    line = next(each for each in text.splitlines() if each.startswith("3:"))
    wrong = line[:-1] + ("0" if line[-1] != "0" else "1")
    (desk.cards / "gateway.txt").write_text(text.replace(line, wrong))
    assert desk.fedctl("drill", *desk.with_cards("gateway.txt")) == 1
    assert "line 3" in desk.stage.err.getvalue()
    assert wrong[3:] not in desk.stage.err.getvalue()


def test_a_lab_has_custody_from_up_and_its_store_has_the_cards(desk: Desk) -> None:
    app = desk.stage.app()
    assert set_up(app) == f"{LAB_KEYS} made, and opened by each pair of shares"
    events = desk.kinds()
    assert events.count("custody.share") == 3 and events.count("custody.made") == 2
    assert set_up(app) == LAB_KEYS, "again: nothing to do"
    assert desk.kinds() == events
    desk.lay_out_stored_cards()
    reference = desk.say(b"something personal")
    for pair in combinations(ALL, 2):
        assert desk.hear(reference, *pair) == b"something personal"


def test_up_goes_on_where_it_was_cut_off_with_the_shares_it_had_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = desk.stage.app()
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(custody, "make", _interrupted)
        set_up(app)
    assert set_up(app) == f"{LAB_KEYS} made, and opened by each pair of shares"
    assert desk.kinds().count("custody.share") == 3, "no second set of shares"


def test_in_a_lab_no_card_need_be_named(desk: Desk) -> None:
    set_up(desk.stage.app())
    assert [each["pairs"] for each in desk.answer("drill")["rehearsed"]] == [3, 3, 3]
    assert desk.answer("drill")["real"] == ["gateway", "guardian", "client"]
    assert desk.answer("rotate", KEY)["result"] in ("done", "wait")
    assert desk.stage.fedctl("prompts", "on", "default") == 0


async def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_real_machines_are_left_to_people(desk: Desk) -> None:
    app = desk.stage.app()
    app.__dict__["federation"] = app.federation.model_copy(update={"kind": "site"})
    assert set_up(app) == f"no data key yet: {BY_HAND}"
    assert desk.kinds() == []
    desk.init()
    assert set_up(app) == KEY


def test_up_leaves_a_ceremony_that_people_began_to_them(desk: Desk) -> None:
    desk.init("--class", "notes")
    before = desk.kinds()
    assert set_up(desk.stage.app()) == f"begun by hand, and not whole: {BY_HAND}"
    assert desk.kinds() == before
