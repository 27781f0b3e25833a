"""Who may widen, narrow and take back, on a real server with real certificates."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import pytest_asyncio

from ledger import roles
from ledger.connect import Connection, connect
from ledger.custody import By
from ledger.errors import Forbidden, LedgerError, Rejected, UnknownProposal
from ledger.event import Event
from ledger.key_strength import DEFAULT_OVERLAP
from ledger.key_strength import rotate as rotate_key
from ledger.key_strength import show as show_history
from ledger.keys import issue, revoke, show
from ledger.roles import REVIEW, decide, history, propose
from tests.support.postgres import Server
from tests.support.reviews import BY, EFFECTS, MONTH, PEPPER, days_pass, give, made, rights, take
from trust.permissions import Role, Scope, needs_review


@pytest_asyncio.fixture
async def second(database: Server) -> AsyncIterator[Connection]:
    """An operator with a certificate of their own, who is not on the list yet."""
    async with await connect(database.settings("operator.bea")) as connection:
        yield connection


@pytest_asyncio.fixture
async def key(operator: Connection) -> str:
    return await made(operator)


async def enrol_second(operator: Connection, database: Server) -> None:
    proposal = await give(operator, "operator:bea", REVIEW)
    days_pass(database, 3)
    await decide(operator, BY, proposal.number, "approve", None)


async def events(operator: Connection) -> list[Event]:
    rows = await (
        await operator.execute("SELECT body FROM ledger.inbox ORDER BY arrival")
    ).fetchall()
    return [Event.parse(bytes(row["body"])) for row in rows]


async def test_the_only_operator_waits_and_approves_by_a_second_act(
    operator: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    assert (proposal.state, proposal.proposed_by) == ("waiting", "operator")
    with pytest.raises(Forbidden, match="only operator can approve"):
        await decide(operator, BY, proposal.number, "approve", "now")
    days_pass(database, 2)
    with pytest.raises(Forbidden, match="only operator can approve"):
        await decide(operator, BY, proposal.number, "approve", "now")
    days_pass(database, 1)
    assert await rights(operator, key) == {"scope:inference"}
    done = await decide(operator, BY, proposal.number, "approve", "still right")
    assert (done.state, done.decided_by, done.decided_why) == (
        "in_effect", "operator", "still right",
    )  # fmt: skip
    assert await rights(operator, key) == {"scope:inference", "role:developer"}


async def test_of_two_operators_the_other_one_approves(
    operator: Connection, second: Connection, key: str, database: Server
) -> None:
    with pytest.raises(Forbidden, match="bea is no operator"):
        await give(second, f"key:{key}")
    await enrol_second(operator, database)
    proposal = await give(second, f"key:{key}")
    days_pass(database, 13)
    with pytest.raises(Forbidden, match="bea's own"):
        await decide(second, BY, proposal.number, "approve", None)
    await decide(operator, BY, proposal.number, "approve", None)
    assert await rights(operator, key) == {"scope:inference", "role:developer"}
    reverted = await decide(second, BY, proposal.number, "revert", "was a mistake")
    assert (reverted.state, reverted.reverted_by) == ("reverted", "bea")
    assert await rights(operator, key) == {"scope:inference"}


async def test_narrowing_is_at_once_and_by_anybody_who_may_log_in_as_an_operator(
    operator: Connection, second: Connection, key: str
) -> None:
    taken = await take(second, f"key:{key}", "scope:inference")
    assert (taken.state, taken.decided_by) == ("in_effect", "bea")
    assert await rights(operator, key) == set()
    with pytest.raises(Forbidden, match="given back by a new proposal"):
        await decide(operator, BY, taken.number, "revert", "oh")
    back = await give(operator, f"key:{key}", "scope:inference")
    assert back.state == "waiting"
    rejected = await decide(second, BY, back.number, "reject", "not by them")
    assert (rejected.state, rejected.decided_by) == ("rejected", "bea")
    with pytest.raises(Rejected, match="is rejected"):
        await decide(operator, BY, back.number, "approve", None)


async def test_what_nobody_approves_lapses(
    operator: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    days_pass(database, 14)
    with pytest.raises(Rejected, match="has lapsed"):
        await decide(operator, BY, proposal.number, "approve", None)
    (shown,) = await history(operator, f"key:{key}")
    assert shown.state == "lapsed" and await rights(operator, key) == {"scope:inference"}


async def test_it_is_reverted_by_one_step_until_its_date_and_then_by_a_proposal_only(
    operator: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    days_pass(database, 3)
    await decide(operator, BY, proposal.number, "approve", None)
    database.psql(
        "SET session_replication_role = replica;"
        "UPDATE ledger.role_proposals SET reversible_until = now() - interval '1 s'",
        "federation",
    )
    with pytest.raises(Forbidden, match="propose to take role:developer"):
        await decide(operator, BY, proposal.number, "revert", "late")
    await take(operator, f"key:{key}")
    assert await rights(operator, key) == {"scope:inference"}


async def test_an_older_proposal_does_not_give_back_what_was_taken(
    operator: Connection, key: str, database: Server
) -> None:
    first, older = await give(operator, f"key:{key}"), await give(operator, f"key:{key}")
    days_pass(database, 3)
    await decide(operator, BY, first.number, "approve", None)
    await decide(operator, BY, first.number, "revert", "no")
    with pytest.raises(Rejected, match="was taken of"):
        await decide(operator, BY, older.number, "approve", None)


async def test_whoever_takes_the_other_operator_off_waits_anew(
    operator: Connection, second: Connection, key: str, database: Server
) -> None:
    await enrol_second(operator, database)
    proposal = await give(second, f"key:{key}")
    days_pass(database, 5)
    await take(second, "operator:operator", REVIEW)
    with pytest.raises(Forbidden, match="only operator can approve"):
        await decide(second, BY, proposal.number, "approve", None)
    # Whom they took off can still say no.
    await decide(operator, BY, proposal.number, "reject", "this is not bea")
    with pytest.raises(Forbidden, match="operator is no operator"):
        await give(operator, f"key:{key}")
    with pytest.raises(Rejected, match="the last operator stays"):
        await take(second, "operator:bea", REVIEW)


async def test_every_step_is_one_event_of_the_transaction_that_makes_it(
    operator: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    other = await give(operator, f"key:{key}", "role:auditor")
    days_pass(database, 3)
    await decide(operator, BY, proposal.number, "approve", "yes")
    await decide(operator, BY, proposal.number, "revert", "no")
    await decide(operator, BY, other.number, "reject", "no")
    await take(operator, f"key:{key}", "scope:inference")
    with pytest.raises(LedgerError):
        await decide(operator, BY, other.number, "approve", None)
    found = await events(operator)
    assert [event.kind for event in found] == [
        "role.proposed", "role.proposed", "role.approved", "role.reverted", "role.rejected",
        "role.taken",
    ]  # fmt: skip
    assert {event.subject for event in found} == {f"key:{key}"}
    assert {(event.actor, event.data["operator"]) for event in found} == {("ada@desk", "operator")}
    assert found[0].data["effects"] == EFFECTS and found[0].data["reversible_seconds"] == 30 * 86400
    assert found[2].data["proposal"] == found[0].data["proposal"] == proposal.id


async def test_a_step_without_its_event_does_not_happen(operator: Connection, key: str) -> None:
    wrong = By("eve", "desk").event("role.taken", f"key:{key}", right="scope:inference")
    with pytest.raises(psycopg.errors.CheckViolation, match="written down"):
        await operator.execute(
            "SELECT ledger.role_propose(gen_random_uuid(), %s, 'take', 'scope:inference', 'x',"
            " NULL, NULL, %s)",
            [f"key:{key}", wrong],
        )
    assert await rights(operator, key) == {"scope:inference"} and await history(operator) == ()


async def test_successors_follow_and_revoked_keys_stay_out(
    operator: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    lost = await give(operator, f"key:{await made(operator)}")
    days_pass(database, 3)
    await decide(operator, BY, proposal.number, "approve", None)
    successor, _ = await rotate_key(
        operator, PEPPER, await show_history(operator, key), overlap=DEFAULT_OVERLAP, actor="t",
        node="desk", now=datetime.now(UTC),
    )  # fmt: skip
    assert await rights(operator, successor.id) == {"scope:inference", "role:developer"}
    await decide(operator, BY, proposal.number, "revert", "no")
    for each in (key, successor.id):
        assert await rights(operator, each) == {"scope:inference"}
    gone = lost.subject.removeprefix("key:")
    await revoke(operator, gone, reason="lost", actor="t")
    with pytest.raises(Rejected, match="works no more"):
        await decide(operator, BY, lost.number, "approve", None)
    with pytest.raises(Rejected, match="no key that works"):
        await give(operator, f"key:{gone}")
    assert (await show(operator, gone)).revoked_at is not None


async def test_a_successor_made_meanwhile_does_not_keep_what_is_taken(
    operator: Connection, second: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    days_pass(database, 3)
    await decide(operator, BY, proposal.number, "approve", None)
    async with operator.transaction():
        successor, _ = await rotate_key(
            operator, PEPPER, await show_history(operator, key), overlap=DEFAULT_OVERLAP,
            actor="t", node="desk", now=datetime.now(UTC),
        )  # fmt: skip
        taking = asyncio.create_task(take(second, f"key:{key}"))
        await until_somebody_waits(database)
    await taking
    for each in (key, successor.id):
        assert await rights(operator, each) == {"scope:inference"}


async def test_an_approval_waits_for_the_end_of_its_proposer_and_then_fails(
    operator: Connection, second: Connection, key: str, database: Server
) -> None:
    await enrol_second(operator, database)
    proposal = await give(second, f"key:{key}")
    async with await connect(database.settings("operator")) as third:
        async with operator.transaction():
            await take(operator, "operator:bea", REVIEW)
            approving = asyncio.create_task(decide(third, BY, proposal.number, "approve", None))
            await until_somebody_waits(database)
        with pytest.raises(Forbidden, match="was taken off"):
            await approving
    assert await rights(operator, key) == {"scope:inference"}


async def until_somebody_waits(database: Server) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    end = time.monotonic() + 60
    while await asyncio.to_thread(database.psql, waiting) == "0":
        assert time.monotonic() < end


async def test_the_owner_and_the_superuser_decide_nothing(
    operator: Connection, owner: Connection, superuser: Connection, key: str, database: Server
) -> None:
    proposal = await give(operator, f"key:{key}")
    days_pass(database, 3)
    attempts = [
        "SELECT ledger.role_decide(1, 'approve', 'x', 'x')",
        "UPDATE ledger.role_proposals SET state = 'in_effect', decided_by = 'operator',"
        " decided_at = now()",
        "UPDATE ledger.api_keys SET roles = '{manager}'",
        "UPDATE ledger.operators SET removed_at = now()",
        "INSERT INTO ledger.operators (name) VALUES ('eve')",
        "INSERT INTO ledger.rights VALUES ('role:king', true)",
        "DELETE FROM ledger.role_proposals",
    ]
    for connection in (owner, superuser):
        for attempt in attempts:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                async with connection.transaction(force_rollback=True):
                    await connection.execute(attempt)
    assert (await roles.show(operator, proposal.number)).state == "waiting"


REFUSED = {
    "a right that is not there": {"what": "role:king"},
    "a review for a key": {"what": REVIEW},
    "no reason": {"why": ""},
    "effects of a word": {"effects": "none"},
    "no effects": {"effects": None},
    "no date": {"reversible_for": None},
    "a date that was": {"reversible_for": timedelta(seconds=-1)},
    "a date of another century": {"reversible_for": timedelta(days=401)},
    "nobody": {"subject": "key:00000000000"},
    "something else": {"subject": "node:redfin"},
    "a role for an operator": {"subject": "operator:eve"},
    "what it has": {"what": "scope:inference"},
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_proposal(operator: Connection, key: str, case: str) -> None:
    values = {
        "subject": f"key:{key}", "action": "give", "what": "role:developer", "why": "asked",
        "effects": EFFECTS, "reversible_for": MONTH,
    }  # fmt: skip
    with pytest.raises(Rejected):
        await propose(operator, BY, **(values | REFUSED[case]))  # type: ignore[arg-type]
    assert await history(operator) == () and await events(operator) == []
    with pytest.raises(UnknownProposal):
        await decide(operator, BY, 1, "approve", None)


CELLS = [*(f"scope:{scope}" for scope in Scope), *(f"role:{role}" for role in Role)]
AT_ONCE = {*CELLS} - {*needs_review(Scope, Role)}


@pytest.mark.parametrize("right", CELLS)
async def test_a_new_key_has_only_what_needs_no_review(operator: Connection, right: str) -> None:
    kind, _, name = right.partition(":")
    wanted = {
        "scopes": [name] if kind == "scope" else [],
        "roles": [name] if kind == "role" else [],
    }
    work = issue(
        operator, PEPPER, name="k", models=None, expires_at=None, actor="t", **wanted
    )  # fmt: skip
    if right in AT_ONCE:
        _, record = await work
        assert (*record.scopes, *record.roles) == (name,)
    else:
        with pytest.raises(Forbidden, match="before it was proposed and approved"):
            await work


async def test_the_server_knows_the_rights_that_the_code_knows(operator: Connection) -> None:
    rows = await (await operator.execute("SELECT name, at_once FROM ledger.rights")).fetchall()
    assert {row["name"]: row["at_once"] for row in rows} == {
        right: right in AT_ONCE for right in CELLS
    }
