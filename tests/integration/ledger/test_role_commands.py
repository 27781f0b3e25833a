"""`fedctl roles ...` on a real database with the certificates of two operators, as they type it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fedctl.exits import Exit
from fedctl.role_access import RoleAccess
from ledger.connect import Connection, connect
from ledger.custody import By
from tests.support.postgres import Server
from tests.support.reviews import EFFECTS, days_passing, made
from tests.unit.fedctl.fakes import Stage


class Desk:
    """Two people at their machines; time is the server's."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.stage = server, Stage(folder)
        self.sit_down("operator")

    def sit_down(self, client: str) -> None:
        """From now on it is this one who types."""
        self.stage.roles = RoleAccess(
            self.server.settings(client, connect_timeout_seconds=60.0), By(f"{client}@desk", "desk")
        )

    def fedctl(self, *argv: str) -> int:
        """Run `fedctl roles`; the exit code."""
        return self.stage.fedctl("roles", *argv)

    def answer(self, *argv: str) -> Any:
        """What it says as JSON, when it ends well."""
        assert self.fedctl(*argv, "--json", "--yes") == 0, self.stage.err.getvalue()
        return json.loads(self.stage.out.getvalue())

    def days_pass(self, days: int) -> None:
        self.server.psql(days_passing(days), "federation")

    def key(self) -> str:
        """The id of a new key."""

        async def run() -> str:
            connection: Connection
            async with await connect(self.server.settings("operator")) as connection:
                return await made(connection)

        return asyncio.run(run())


@pytest.fixture
def desk(database: Server, tmp_path: Path) -> Desk:
    return Desk(database, tmp_path)


def test_a_right_is_proposed_approved_by_the_other_and_reverted(desk: Desk) -> None:
    key = desk.key()
    enrol = desk.answer("propose", "operator:bea", "--give", "review", "--why", "joined",
                        "--effects", EFFECTS)  # fmt: skip
    assert desk.fedctl("approve", str(enrol["number"]), "--yes") == Exit.FAILED
    assert "the only operator can approve" in desk.stage.err.getvalue()
    desk.days_pass(3)
    assert desk.answer("approve", str(enrol["number"]))["state"] == "in_effect"
    words = ("propose", key, "--give", "developer", "--why", "asked", "--effects", EFFECTS)
    assert desk.fedctl(*words, "--reversible-until", "2w") == 0
    said = desk.stage.err.getvalue()
    assert "give role:developer to key:" in said and ", by bea; it lapses on" in said
    (waiting,) = [each for each in desk.answer("list") if each["state"] == "waiting"]
    assert (waiting["right"], waiting["proposed_by"]) == ("role:developer", "operator")
    number = str(waiting["number"])
    assert desk.fedctl("approve", number, "--yes") == Exit.FAILED
    assert "somebody else approves it" in desk.stage.err.getvalue()
    desk.sit_down("operator.bea")
    assert desk.answer("approve", number, "--why", "fine")["decided_by"] == "bea"
    shown = desk.answer("show", key)
    assert shown["scopes"] == ["inference", "tokenize", "usage:read"]
    assert desk.answer("revert", number, "--why", "left")["state"] == "reverted"
    assert desk.answer("show", key)["rights"] == ["scope:inference"]
    assert [each["state"] for each in desk.answer("history", key)] == ["reverted"]
    assert desk.fedctl("history") == 0 and "reverted" in desk.stage.out.getvalue()
    assert desk.answer("show", "operator:bea")["rights"] == ["review"]


def test_taking_is_done_at_once_and_the_policy_is_shown(desk: Desk) -> None:
    key = desk.key()
    taken = desk.answer("propose", key, "--take", "inference", "--why", "misused")
    assert (taken["state"], taken["right"]) == ("in_effect", "scope:inference")
    assert desk.answer("show", key)["scopes"] == []
    policy = desk.answer("show")
    assert policy["roles"]["user"] == ["inference"]
    assert [each["name"] for each in policy["operators"]] == ["operator"]
    assert policy["alone_waits_seconds"] == 3 * 86400
    assert desk.fedctl("show") == 0
    assert "alone. Giving a right needs 3 days and a second command" in desk.stage.err.getvalue()
    assert desk.answer("list") == []


def test_the_only_operator_is_told_from_when_on_they_can_approve(desk: Desk) -> None:
    key = desk.key()
    words = ("propose", key, "--give", "usage:read", "--why", "asked", "--effects", EFFECTS)
    assert desk.fedctl(*words) == 0
    assert "there is no other operator" in desk.stage.err.getvalue()
    assert desk.fedctl("reject", "1", "--why", "no more", "--yes") == 0
    assert "rejected" in desk.stage.err.getvalue()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("propose", "KEY", "--why", "x"), Exit.USAGE, "either --give RIGHT or --take RIGHT"),
        (("propose", "KEY", "--give", "user", "--why", "x"), Exit.USAGE, "needs --effects"),
        (("propose", "KEY", "--give", "king", "--why", "x"), Exit.USAGE, "king"),
        (("propose", "KEY", "--take", "user", "--why", "x"), Exit.FAILED, "has role:user not"),
        (("propose", "redfin", "--take", "user", "--why", "x"), Exit.FAILED, "operator:NAME"),
        (("approve", "7", "--yes"), Exit.FAILED, "fedctl roles history"),
        (("show", "00000000000"), Exit.FAILED, "fedctl keys list"),
        (("show", "operator:NOBODY"), Exit.FAILED, "operator:NAME"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    desk: Desk, words: tuple[str, ...], code: int, said: str
) -> None:
    key = desk.key()
    assert desk.fedctl(*(key if word == "KEY" else word for word in words)) == code
    assert said in desk.stage.err.getvalue()


def test_deciding_asks_and_refuses_off_a_terminal(desk: Desk) -> None:
    key = desk.key()
    words = ("propose", key, "--give", "manager", "--why", "asked", "--effects", EFFECTS)
    number = str(desk.answer(*words)["number"])
    desk.days_pass(3)
    for decision in ("approve", "reject", "revert"):
        why = () if decision == "approve" else ("--why", "x")
        assert desk.fedctl(decision, number, *why) == Exit.USAGE
        assert "--yes" in desk.stage.err.getvalue()
    assert desk.answer("show", key)["rights"] == ["scope:inference"]
