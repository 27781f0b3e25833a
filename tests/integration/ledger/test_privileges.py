"""Each role tries everything it must not be able to do, on the real server.

The same attempts are made for every role; a table says which few may succeed. History (events,
finished audit rows, keys) withstands the owner and the superuser as well, until they drop the
triggers first: against that only witnesses help.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest
import pytest_asyncio

from ledger.append import send
from ledger.connect import Connection, connect, connect_dsn
from ledger.event import Event
from ledger.identifiers import new_id
from ledger.keys import issue, revoke
from ledger.requests import (
    Outcome,
    RequestIntent,
    RequestOutcome,
    ship,
)
from ledger.sequence import advance, cosign, publish
from ledger.tiles import Edge
from tests.support.audit import request_events
from tests.support.postgres import Server
from tests.support.reviews import give
from trust.apikeys import Pepper

PEPPER = Pepper.parse("cd" * 32)
NOW = datetime(2026, 5, 4, tzinfo=UTC)
PARTITION = f"log_{datetime.now(UTC):%Y_%m}"
KEY = "'0123456789a'"
COLUMNS = "id, name, digest, pepper_version, scopes, created_by"
VALUES = f"{KEY}, 'x', sha256('x'), 1, '{{inference}}', 'x'"

# Attempt: SQL, and the roles for which it may succeed.
ATTEMPTS: dict[str, tuple[str, set[str]]] = {
    "read digests": ("SELECT digest FROM ledger.api_keys", {"gateway", "owner"}),
    "read who issued keys": ("SELECT created_by FROM ledger.api_keys", {"operator", "owner"}),
    "read all of a key": ("SELECT * FROM ledger.api_keys", {"owner"}),
    "add a key": (
        f"INSERT INTO ledger.api_keys ({COLUMNS}) VALUES ({VALUES})",  # noqa: S608
        {"operator", "owner"},
    ),
    "add a key of another date": (
        f"INSERT INTO ledger.api_keys ({COLUMNS}, created_at) VALUES ({VALUES}, '2001-01-01')",  # noqa: S608
        {"owner"},
    ),
    "rename a key": ("UPDATE ledger.api_keys SET name = 'y'", set()),
    "widen a key": ("UPDATE ledger.api_keys SET scopes = '{admin}'", set()),
    "give a key to somebody else": ("UPDATE ledger.api_keys SET digest = sha256('y')", set()),
    "let a key live longer": ("UPDATE ledger.api_keys SET expires_at = NULL", set()),
    "bring back a revoked key": (
        "UPDATE ledger.api_keys SET revoked_at = NULL, revoked_by = NULL, revoked_reason = NULL"
        " WHERE revoked_at IS NOT NULL",
        set(),
    ),
    "rewrite why a key was revoked": (
        "UPDATE ledger.api_keys SET revoked_reason = 'y' WHERE revoked_at IS NOT NULL",
        set(),
    ),
    "revoke and rename in one": (
        "UPDATE ledger.api_keys SET name = 'y', revoked_at = now(), revoked_by = 'x',"
        " revoked_reason = 'x' WHERE revoked_at IS NULL",
        set(),
    ),
    "revoke without saying who": (
        "UPDATE ledger.api_keys SET revoked_at = now() WHERE revoked_at IS NULL",
        set(),
    ),
    "give a key a role at its birth": (
        f"INSERT INTO ledger.api_keys ({COLUMNS}, roles) VALUES ({VALUES}, '{{manager}}')",  # noqa: S608
        set(),
    ),
    "give a key a scope that nobody knows yet": (
        f"INSERT INTO ledger.api_keys ({COLUMNS}) VALUES ({VALUES.replace('inference', 'king')})",  # noqa: S608
        set(),
    ),
    "leave a key without a right": ("UPDATE ledger.api_keys SET scopes = '{}'", set()),
    "read proposals": (
        "SELECT * FROM ledger.role_proposals, ledger.operators, ledger.rights",
        {"operator", "owner"},
    ),
    "make a right": ("INSERT INTO ledger.rights VALUES ('role:king', true)", set()),
    "let a right need no review": ("UPDATE ledger.rights SET at_once = true", set()),
    "become an operator who decides": (
        "INSERT INTO ledger.operators (name) VALUES ('eve')",
        set(),
    ),
    "take an operator off": ("UPDATE ledger.operators SET removed_at = now()", set()),
    "delete an operator": ("DELETE FROM ledger.operators", set()),
    "propose past the function": (
        "INSERT INTO ledger.role_proposals (id, subject, action, what, why, proposed_by,"
        " proposed_at, lapses_at, state) SELECT gen_random_uuid(), 'key:' || id, 'take',"
        " 'scope:inference', 'x', 'operator', now(), now(), 'in_effect' FROM ledger.api_keys",
        set(),
    ),
    "approve past the function": (
        "UPDATE ledger.role_proposals SET state = 'in_effect', decided_by = 'operator',"
        " decided_at = now()",
        set(),
    ),
    "date a proposal back": ("UPDATE ledger.role_proposals SET proposed_at = '2001-01-01'", set()),
    "delete proposals": ("DELETE FROM ledger.role_proposals", set()),
    "truncate proposals": ("TRUNCATE ledger.role_proposals", set()),
    "be named as an operator": ("SELECT ledger.operator_here(false)", {"operator"}),
    "take a right without its event": (
        "SELECT ledger.role_propose(gen_random_uuid(), 'key:' || id, 'take', 'scope:inference',"
        " 'x', NULL, NULL, '{\"kind\":\"k\"}') FROM ledger.api_keys",
        set(),
    ),
    "count what waits for a review": (
        "SELECT * FROM ledger.role_reviews_waiting()",
        {"keys", "owner"},
    ),
    "decide what is not there": ("SELECT ledger.role_decide(99, 'approve', 'x', 'x')", set()),
    "apply what nobody proposed": (
        "SELECT ledger.role_apply('key:' || id, 'role:manager', true) FROM ledger.api_keys",
        set(),
    ),
    "move a key to another tenant": ("UPDATE ledger.api_keys SET tenant = 'default'", set()),
    "give a key a role": ("UPDATE ledger.api_keys SET roles = '{manager}'", set()),
    "make a tenant": (
        "INSERT INTO ledger.tenants (name, created_by) VALUES ('b', 'x')",
        {"operator", "owner"},
    ),
    "rename a tenant": ("UPDATE ledger.tenants SET name = 'b'", set()),
    "delete tenants": ("DELETE FROM ledger.tenants", set()),
    "read who made tenants": ("SELECT created_by FROM ledger.tenants", {"operator", "owner"}),
    "read limits": ("SELECT * FROM ledger.limits", {"gateway", "operator", "owner"}),
    "lift a limit": (
        "UPDATE ledger.limits SET tokens_per_day = NULL",
        {"operator", "owner"},
    ),
    "set a limit": (
        "INSERT INTO ledger.limits (subject, tokens_per_day, changed_by)"
        " VALUES ('tenant:default', 1, 'x')",
        {"operator", "owner"},
    ),
    "set a limit of nobody": (
        "INSERT INTO ledger.limits (subject, tokens_per_day, changed_by)"
        " VALUES ('tenant:nobody', 1, 'x')",
        set(),
    ),
    "delete limits": ("DELETE FROM ledger.limits", {"owner"}),
    "see which engines are drained": (
        "SELECT * FROM ledger.upstreams",
        {"gateway", "operator", "owner"},
    ),
    "drain an engine": (
        "INSERT INTO ledger.upstreams (name, drained, reason, changed_by)"
        " VALUES ('redfin', true, 'x', 'x')",
        {"operator", "owner"},
    ),
    "drain an engine yesterday": (
        "INSERT INTO ledger.upstreams (name, drained, reason, changed_at, changed_by)"
        " VALUES ('redfin', true, 'x', now() - interval '1 day', 'x')",
        {"owner"},
    ),
    "forget that an engine was drained": ("DELETE FROM ledger.upstreams", set()),
    "read with what proofs are checked": (
        "SELECT * FROM ledger.proof_keys",
        {"gateway", "operator", "owner"},
    ),
    "register a key for proofs": (
        "INSERT INTO ledger.proof_keys (family, public_key, set_by)"
        " SELECT id, sha256('x'), 'x' FROM ledger.api_keys LIMIT 1",
        {"operator", "owner"},
    ),
    "exchange a key for proofs": ("UPDATE ledger.proof_keys SET public_key = sha256('y')", set()),
    "forget a key for proofs": ("DELETE FROM ledger.proof_keys", set()),
    "read nonces": ("SELECT * FROM ledger.proof_nonces", {"owner"}),
    "forget a nonce": ("DELETE FROM ledger.proof_nonces", {"owner"}),
    "use a nonce": (
        "SELECT ledger.first_use('0123456789a', 'sixteen-letters-', now())",
        {"gateway", "guardian", "owner"},
    ),
    "read what a notice says": (
        "SELECT body FROM ledger.key_notices",
        {"keys", "owner"},
    ),
    "see how notices go": (
        "SELECT id, attempts, last_error, outcome FROM ledger.key_notices",
        {"keys", "operator", "owner"},
    ),
    "have somebody told": (
        "INSERT INTO ledger.key_notices (id, key_id, kind, body)"
        " VALUES (gen_random_uuid(), '-', 'x', '{}')",
        {"keys", "operator", "owner"},
    ),
    "mark a notice as taken": (
        "UPDATE ledger.key_notices SET outcome = 'delivered', settled_at = now()",
        {"keys", "owner"},
    ),
    "change what a notice says": ("UPDATE ledger.key_notices SET body = '{}'", {"owner"}),
    "forget notices": ("DELETE FROM ledger.key_notices", {"keys", "owner"}),
    "turn back the keyring": ("UPDATE ledger.keyring SET version = 0", {"owner"}),
    "hide a change of keys": ("DELETE FROM ledger.keyring_changes", {"owner"}),
    "read shares": ("SELECT * FROM ledger.quota_shares", {"operator", "owner"}),
    "take a share directly": ("UPDATE ledger.quota_shares SET share = 0", {"owner"}),
    "forget what was used": ("UPDATE ledger.quota_meters SET used = 0", {"owner"}),
    "show a sign of life": (
        "SELECT ledger.keep_shares('h', 'p', '1 minute', '1 minute')",
        {"gateway", "owner"},
    ),
    "be dealt a share": (
        "SELECT ledger.keep_shares('h', 'p', '1 minute', '1 minute'),"
        " ledger.deal_shares('h', '[]')",
        {"gateway", "owner"},
    ),
    "read how strong keys are": (
        "SELECT * FROM ledger.key_strength, ledger.key_traces, ledger.key_parameters",
        {"gateway", "operator", "keys", "owner"},
    ),
    "make a key strong": ("UPDATE ledger.key_strength SET tier = 3", {"keys", "owner"}),
    "let a key live longer than its maximum age": (
        "UPDATE ledger.key_strength SET ends_at = ends_at + interval '1 s'",
        set(),
    ),
    "forget that a key replaced another": (
        "UPDATE ledger.key_strength SET family = 'x'",
        set(),
    ),
    "forget a key's misuse": ("DELETE FROM ledger.key_traces", {"owner"}),
    "write bits past the function": (
        "UPDATE ledger.key_traces SET newest_hour = 0",
        {"owner"},
    ),
    "note a use": (
        "SELECT ledger.note_key_uses(ARRAY[]::text[], ARRAY[]::text[], ARRAY[]::integer[])",
        {"gateway", "owner"},
    ),
    "replace a key": (
        "SELECT ledger.rotate_key('$KEY', '0123456789a', sha256('x'), 1, '1 day', 0, 1,"
        """ 0::smallint, 'x',"""
        """ '{"id":"01890a5d-ac96-774b-bcce-b302099a8057","time":"2026-01-01T00:00:00Z","""
        """"node":"n","actor":"a","kind":"k","subject":"s","data":{}}')""",
        {"gateway", "operator", "owner"},
    ),
    "ask what limits hold now": (
        "SELECT * FROM ledger.limits_now('key:$KEY')",
        {"gateway", "owner"},
    ),
    "mend traces": ("SELECT ledger.mend_traces(ARRAY[]::text[], 1)", {"keys", "owner"}),
    "delete strengths": ("DELETE FROM ledger.key_strength", set()),
    "change old parameters": ("UPDATE ledger.key_parameters SET value = '{}'", set()),
    "delete keys": ("DELETE FROM ledger.api_keys", set()),
    "truncate keys": ("TRUNCATE ledger.api_keys CASCADE", set()),
    "read the audit": ("SELECT * FROM ledger.requests", {"operator", "owner"}),
    "write the audit directly": (
        "INSERT INTO ledger.requests (id, key_id, node, model, stream, started_at)"
        " SELECT gen_random_uuid(), id, 'n', 'm', false, now() FROM ledger.api_keys LIMIT 1",
        {"owner"},
    ),
    "change a finished audit row": (
        "UPDATE ledger.requests SET completion_tokens = 0 WHERE completed_at IS NOT NULL",
        set(),
    ),
    "reopen a finished audit row": (
        "UPDATE ledger.requests SET completed_at = NULL, outcome = NULL, duration_ms = NULL,"
        " status = NULL WHERE completed_at IS NOT NULL",
        set(),
    ),
    "put an open audit row on another key": (
        "UPDATE ledger.requests SET model = 'other' WHERE completed_at IS NULL",
        set(),
    ),
    "complete and change an audit row in one": (
        "UPDATE ledger.requests SET model = 'other', outcome = 'lost', completed_at = now(),"
        " duration_ms = 1 WHERE completed_at IS NULL",
        set(),
    ),
    "delete audit rows": ("DELETE FROM ledger.requests", set()),
    "truncate the audit": ("TRUNCATE ledger.requests", set()),
    "read the log": ("SELECT body FROM ledger.log", {"operator", "sequencer", "owner"}),
    "read what waits": ("SELECT body FROM ledger.inbox", {"operator", "sequencer", "owner"}),
    "write an event past the function": (
        "INSERT INTO ledger.inbox (id, time, node, actor, kind, subject, body, leaf_hash)"
        " VALUES (gen_random_uuid(), now(), 'n', 'a', 'k', 's', 'x', sha256('x'))",
        {"owner"},
    ),
    "write into the log": (
        "INSERT INTO ledger.log (seq, id, time, node, actor, kind, subject, body, leaf_hash,"
        " received_at, received_from) VALUES (99, gen_random_uuid(), now(), 'n', 'a', 'k', 's',"
        " 'x', sha256('x'), now(), 'x')",
        {"owner"},
    ),
    "change what waits": ("UPDATE ledger.inbox SET actor = 'somebody else'", set()),
    "delete what waits": ("DELETE FROM ledger.inbox", set()),
    "truncate what waits": ("TRUNCATE ledger.inbox", set()),
    "change events": ("UPDATE ledger.log SET actor = 'somebody else'", set()),
    "change an event's bytes": ("UPDATE ledger.log SET body = 'x'", set()),
    "change a partition": (f"UPDATE ledger.{PARTITION} SET body = 'x'", set()),  # noqa: S608
    "delete events": ("DELETE FROM ledger.log", set()),
    "delete no event at all": ("DELETE FROM ledger.log WHERE false", set()),
    "delete from a partition": (f"DELETE FROM ledger.{PARTITION}", set()),  # noqa: S608
    "truncate events": ("TRUNCATE ledger.log", set()),
    "truncate a partition": (f"TRUNCATE ledger.{PARTITION}", set()),
    "truncate the other partition": ("TRUNCATE ledger.log_other", set()),
    "change a tile": ("UPDATE ledger.tiles SET hashes = sha256('x')", set()),
    "delete tiles": ("DELETE FROM ledger.tiles", set()),
    "truncate tiles": ("TRUNCATE ledger.tiles", set()),
    "add a tile": ("INSERT INTO ledger.tiles VALUES (7, 7, sha256('x'))", {"owner"}),
    "change a checkpoint": ("UPDATE ledger.checkpoints SET note = 'x'", set()),
    "delete checkpoints": ("DELETE FROM ledger.checkpoints", set()),
    "truncate checkpoints": ("TRUNCATE ledger.checkpoints CASCADE", set()),
    "change a cosignature": ("UPDATE ledger.cosignatures SET line = 'x'", set()),
    "delete cosignatures": ("DELETE FROM ledger.cosignatures", set()),
    "truncate cosignatures": ("TRUNCATE ledger.cosignatures", set()),
    "forget conflicts": ("DELETE FROM ledger.conflicts", set()),
    "turn the log back": ("UPDATE ledger.log_state SET size = 0, tree_size = 0", set()),
    "give the log another root": ("UPDATE ledger.log_state SET root = sha256('x')", set()),
    "delete the log's state": ("DELETE FROM ledger.log_state", set()),
    "truncate the log's state": ("TRUNCATE ledger.log_state", set()),
    "sequence": ("SELECT ledger.sequence_batch(1, 10)", {"sequencer", "owner"}),
    "set repeated events aside": ("SELECT ledger.set_aside_repeated(0, 10)", {"owner"}),
    "make partitions": ("SELECT ledger.make_partitions(now(), 3)", {"sequencer", "owner"}),
    "sign another head": ("SELECT ledger.add_checkpoint(1, sha256('x'), 'x')", set()),
    "append a forged event": (
        """SELECT ledger.append_events(ARRAY['{"id":"01890a5d-ac96-774b-bcce-b302099a8057","""
        """"time":"2026-01-01T00:00:00Z","node":"n","actor":"a","kind":"k","subject":"s","""
        """"data":{}}'::bytea])""",
        {"gateway", "operator", "sequencer", "keys", "guardian", "owner"},
    ),
    "read wrapped keys": (
        "SELECT key_id, epoch, wrapped FROM ledger.custody_epochs",
        {"gateway", "operator", "guardian", "owner"},
    ),
    "read whose shares there are": (
        "SELECT mark FROM ledger.custody_shares",
        {"operator", "owner"},
    ),
    "exchange a wrapped key": ("UPDATE ledger.custody_epochs SET wrapped = 'x'", {"owner"}),
    "seal under an older epoch again": (
        "UPDATE ledger.custody_keys SET current_epoch = 1",
        {"owner"},
    ),
    "drop a wrapped key": ("DELETE FROM ledger.custody_epochs", {"owner"}),
    "truncate wrapped keys": ("TRUNCATE ledger.custody_epochs", set()),
    "change who has which share": ("UPDATE ledger.custody_shares SET mark = mark", set()),
    "keep a rotation": (
        "SELECT ledger.custody_save('default/a', 1, 2, 'prepare', 0, 'x')",
        set(),
    ),
    "change custody without an event of it": (
        "SELECT ledger.custody_make('default', 'a', 'x', 'x',"
        ' \'{"kind":"k","subject":"default/a"}\'::bytea)',
        set(),
    ),
    "reseal content": (
        "SELECT ledger.reseal_content(gen_random_uuid(), 'default/a', 'x', 2, 'x')",
        set(),
    ),
    "read what the guardian gave out": (
        "SELECT ledger.custody_releases(now())",
        {"guardian", "owner"},
    ),
    "read how much keys do": (
        "SELECT * FROM ledger.key_volumes",
        {"gateway", "operator", "keys", "owner"},
    ),
    "make a key's history young": ("DELETE FROM ledger.key_volumes", {"owner"}),
    "count requests that nobody made": (
        "SELECT ledger.count_requests(ARRAY['x'], ARRAY[1], ARRAY[1]::bigint[])",
        {"owner"},
    ),
    "have prompts stored without an event of it": (
        "SELECT ledger.set_prompts('default', false, 30, '{\"kind\":\"k\"}'::bytea)",
        set(),
    ),
    "have prompts stored by the row": ("UPDATE ledger.tenants SET prompts = true", {"owner"}),
    "have gateways seal to a key of one's own": (
        "UPDATE ledger.custody_sealing SET vouched = 'x'",
        {"owner"},
    ),
    "erase a prompt before its days are over": (
        "SELECT ledger.erase_due_prompt(gen_random_uuid(), '{}'::bytea)",
        set(),
    ),
    "read which prompts are due": ("SELECT ledger.prompts_due(1)", {"guardian", "owner"}),
    "read what was sealed": (
        "SELECT envelope FROM ledger.contents",
        {"operator", "guardian", "owner"},
    ),
    "ship requests": ("SELECT ledger.ship_requests(ARRAY[]::bytea[])", {"gateway", "owner"}),
    "read the migrations": ("SELECT * FROM ledger.migrations", {"owner"}),
    "forget a migration": ("DELETE FROM ledger.migrations", {"owner"}),
    "switch triggers off": ("ALTER TABLE ledger.log DISABLE TRIGGER ALL", {"owner"}),
    "skip triggers": ("SET session_replication_role = replica", set()),
    "drop the events": ("DROP TABLE ledger.log", {"owner"}),
    "drop a partition": (f"DROP TABLE ledger.{PARTITION}", {"owner"}),
    "take a partition off": (
        f"ALTER TABLE ledger.log DETACH PARTITION ledger.{PARTITION}",
        {"owner"},
    ),
    "replace a trigger's function": (
        "CREATE OR REPLACE FUNCTION ledger.refuse() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'",
        {"owner"},
    ),
    "make a table": ("CREATE TABLE ledger.mine (x int)", {"owner"}),
    "make a table in public": ("CREATE TABLE public.mine (x int)", set()),
    "make a schema": ("CREATE SCHEMA mine", {"owner"}),
    "make a temporary table": ("CREATE TEMP TABLE mine (x int)", {"owner"}),
    "make a role": ("CREATE ROLE mine", set()),
    "become the owner": ("SET ROLE fedledger", {"owner"}),
    "become the superuser": ("SET ROLE postgres", set()),
    "become the operator": ("SET ROLE fed_operator", {"operator"}),
    "grant oneself": ("GRANT fedledger TO CURRENT_USER", set()),
    "read passwords": ("SELECT * FROM pg_authid", set()),
    "run a program": ("COPY (SELECT 1) TO PROGRAM 'true'", set()),
    "read a file": ("SELECT pg_read_file('/etc/passwd')", set()),
    "write a file": ("COPY (SELECT 1) TO '/tmp/mine'", set()),
    "load a language": ("CREATE EXTENSION plpython3u", set()),
}


@pytest_asyncio.fixture
async def filled(
    gateway: Connection, operator: Connection, database: Server
) -> AsyncIterator[Server]:
    """Two keys (one revoked), two requests (one open), one event in the log, others that wait."""
    keys = []
    for name in ("one", "two"):
        key, _ = await issue(
            operator,
            PEPPER,
            name=name,
            scopes=["inference"],
            models=None,
            expires_at=None,
            actor="t",
        )
        keys.append(key.id)
    await revoke(operator, keys[1], reason="lost", actor="t")
    event = Event(new_id(), NOW, "anode", "t", "test.made", "x", {"n": 1})
    await send(operator, [event.canonical()])
    async with await connect(database.settings("sequencer")) as sequencer:
        batch = await advance(sequencer, Edge(), 10)
        await publish(sequencer, 1, batch.frontier.root(), "a note")
        await cosign(sequencer, 1, "a witness", "a line")
    waiting = Event(new_id(), NOW, "anode", "t", "test.waits", "x", {"n": 2})
    await send(operator, [waiting.canonical()])
    await give(operator, f"key:{keys[0]}")
    for done in (True, False):
        intent = RequestIntent(new_id(), keys[0], "anode", "m", False, NOW)
        end = RequestOutcome(Outcome.ANSWERED, NOW, 12, 200, 3, 4, 5)
        await ship(gateway, request_events(intent, end if done else None))
    yield database


def connection_for(server: Server, role: str) -> str:
    if role == "keys":
        return server.settings("sequencer", user="fed_keys").conninfo()
    if role in ("gateway", "operator", "sequencer", "guardian"):
        return server.settings(role).conninfo()
    return server.dsn({"owner": "fedledger", "metrics": "fed_metrics"}[role])


HISTORY = """SELECT md5(string_agg(x::text, '' ORDER BY x::text)) FROM (
    SELECT to_jsonb(k) FROM ledger.api_keys k UNION ALL SELECT to_jsonb(r) FROM ledger.requests r
    UNION ALL SELECT to_jsonb(e) FROM ledger.inbox e UNION ALL SELECT to_jsonb(l) FROM ledger.log l
    UNION ALL SELECT to_jsonb(t) FROM ledger.tiles t
    UNION ALL SELECT to_jsonb(c) FROM ledger.checkpoints c
    UNION ALL SELECT to_jsonb(p) FROM ledger.role_proposals p
    UNION ALL SELECT to_jsonb(s) FROM ledger.log_state s) AS all_rows (x)"""


@pytest.mark.parametrize(
    "role", ["gateway", "operator", "sequencer", "keys", "guardian", "metrics", "owner"]
)
async def test_what_each_role_may_and_may_not(filled: Server, role: str) -> None:
    surprises = []
    history = filled.psql(HISTORY, "federation")
    key_id = filled.psql("SELECT id FROM ledger.api_keys WHERE revoked_at IS NULL", "federation")
    async with await connect_dsn(connection_for(filled, role)) as connection:
        for attempt, (sql, permitted) in ATTEMPTS.items():
            try:
                async with connection.transaction(force_rollback=True):
                    await connection.execute(sql.replace("$KEY", key_id.strip()))
                succeeded = True
            except psycopg.Error as error:
                succeeded = False
                assert error.sqlstate is not None, (attempt, error)
                # Refused by privilege or by a check, never by a mistake in the attempt itself.
                fine = ("42501", "23514", "23503", "55P02", "0A000", "42P17", "40001")
                if not error.sqlstate.startswith(fine):
                    surprises.append(f"{attempt}: {error.sqlstate} {error}")
            if succeeded != (role in permitted):
                surprises.append(f"{attempt}: {'succeeded' if succeeded else 'refused'}")
    assert surprises == []
    assert filled.psql(HISTORY, "federation") == history


SUPERUSER_REFUSED = [
    "rename a key",
    "bring back a revoked key",
    "rewrite why a key was revoked",
    "delete keys",
    "truncate keys",
    "change a finished audit row",
    "reopen a finished audit row",
    "put an open audit row on another key",
    "delete audit rows",
    "truncate the audit",
    "change events",
    "change an event's bytes",
    "change a partition",
    "delete events",
    "delete from a partition",
    "truncate events",
    "truncate a partition",
    "change what waits",
    "delete what waits",
    "truncate what waits",
    "change a tile",
    "delete tiles",
    "truncate tiles",
    "change a checkpoint",
    "delete checkpoints",
    "truncate checkpoints",
    "delete cosignatures",
    "forget conflicts",
    "turn the log back",
    "give the log another root",
    "delete the log's state",
    "truncate the log's state",
]


async def test_triggers_stop_the_superuser_too(filled: Server, superuser: Connection) -> None:
    for attempt in SUPERUSER_REFUSED:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"refused|revoked|complete"):
            await superuser.execute(ATTEMPTS[attempt][0])


async def test_a_role_cannot_end_anothers_session_nor_change_the_server(
    filled: Server, superuser: Connection
) -> None:
    for role in ("gateway", "operator", "sequencer"):
        async with await connect(filled.settings(role)) as connection:
            pid = superuser.info.backend_pid
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute("SELECT pg_terminate_backend(%s)", [pid])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute("ALTER SYSTEM SET fsync = off")
    await superuser.execute("SELECT 1")


async def test_functions_with_the_owners_rights_cannot_be_fooled(superuser: Connection) -> None:
    """Each has a fixed search path, temporary objects last, and PUBLIC may run none of ours."""
    cursor = await superuser.execute(
        "SELECT proname, prosecdef, proconfig, proacl::text FROM pg_proc"
        " WHERE pronamespace = 'ledger'::regnamespace"
    )
    rows = await cursor.fetchall()
    assert {row["proname"] for row in rows if row["prosecdef"]} == {
        "ship_requests",
        "append_events",
        "sequence_batch",
        "seal_batch",
        "add_checkpoint",
        "add_cosignature",
        "make_partitions",
        "limits_have_a_subject",
        "keyring_changed",
        "keep_shares",
        "deal_shares",
        "end_shares",
        "sweep_shares",
        "reserve_seals",
        "store_content",
        "erase_content",
        "api_keys_begin_strong",
        "api_keys_revoke_successors",
        "note_key_uses",
        "count_requests",
        "requests_credit_keys",
        "mend_traces",
        "rotate_key",
        "custody_make",
        "custody_share",
        "custody_store",
        "custody_set_current",
        "custody_replace",
        "custody_drop",
        "custody_save",
        "custody_forget",
        "custody_releases",
        "sealing_changed",
        "custody_publish",
        "set_prompts",
        "keep_prompt",
        "prompts_due",
        "erase_due_prompt",
        "reseal_content",
        "first_use",
        "operator_here",
        "family_of",
        "has_right",
        "alone_from",
        "role_proposed",
        "role_moved",
        "reviewed",
        "operators_reviewed",
        "api_keys_begin_narrow",
        "role_propose",
        "role_decide",
        "role_reviews_waiting",
    }
    for row in rows:
        assert row["proconfig"][0] == "search_path=pg_catalog, pg_temp", row
        assert row["proacl"] is not None, row  # null would mean: everybody
        assert "{=" not in row["proacl"], row
        assert ",=" not in row["proacl"], row


async def test_nothing_in_our_schema_is_open_to_everybody(superuser: Connection) -> None:
    cursor = await superuser.execute(
        "SELECT relname FROM pg_class, aclexplode(relacl) WHERE grantee = 0"
        " AND relnamespace = 'ledger'::regnamespace"
        " UNION ALL SELECT nspname FROM pg_namespace, aclexplode(nspacl)"
        " WHERE grantee = 0 AND nspname IN ('ledger', 'public')"
    )
    assert await cursor.fetchall() == []


async def test_the_metrics_role_reads_statistics(database: Server) -> None:
    async with await connect_dsn(database.dsn("fed_metrics")) as connection:
        await connection.execute("SELECT * FROM pg_stat_activity")
        await connection.execute("SELECT pg_database_size('federation')")
        for table in ("api_keys", "requests", "inbox", "log"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(f"SELECT * FROM ledger.{table}")  # noqa: S608
