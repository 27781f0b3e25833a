"""`fedctl prompts ...` on a real database, with a real guardian; and its upkeep."""

import json
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploys.own_secrets import operator_signing
from gateway.seams import Ending, Intent
from gateway.spool import record
from ledger import content, prompts
from ledger.append import send
from ledger.connect import connect
from ledger.identifiers import new_id
from ledger.requests import Outcome
from tests.integration.guardian.test_commands import ALL, Desk
from tests.support.gateway import until
from tests.support.guardians import guarding, make_guardian
from tests.support.postgres import Server
from trust.callers import public_hex
from trust.primitives import pack
from trust.sealing import sealing_key

pytestmark = pytest.mark.postgres
BODY, ANSWER = b'{"model": "m", "note": "blue heron"}', b"it flies\x1b[2J"


class PromptDesk(Desk):
    """An operator with `fedctl prompts` as well."""

    def prompts(self, *argv: str) -> int:
        """Run it; the exit code."""
        return self.stage.fedctl("prompts", *argv)

    def said(self, *argv: str) -> Any:
        """What it says as JSON, when it ends well."""
        assert self.prompts(*argv, "--json") == 0, self.stage.err.getvalue()
        return json.loads(self.stage.out.getvalue())

    def keep(self) -> UUID:
        """What a gateway does with one request; its id."""
        blob = self.server.psql(
            "SELECT encode(vouched, 'hex') FROM ledger.custody_sealing", "federation"
        )
        to = sealing_key(bytes.fromhex(blob), "default/prompts", self.server.authority.ca_pem)
        now, request = time.time_ns(), new_id()
        item = content.sealed_to(record.content_id(str(request)), pack(BODY, ANSWER), to)
        intent = Intent(
            str(request), "k", "default", "g", "chat_completions", "m", False, now, "r", None
        )
        ending = Ending(Outcome.ANSWERED, now, 1, 200, prompt=item.reference())

        async def work(connection: Any) -> None:
            await send(connection, [record.started(intent), record.finished(intent, ending)])

        self.do(work)

        async def keep() -> None:
            async with await connect(self.server.settings("gateway")) as gateway:
                assert await prompts.keep(gateway, item)

        import asyncio

        asyncio.run(keep())
        return request


@pytest.fixture
def desk(database: Server, tmp_path: Path) -> PromptDesk:
    return PromptDesk(database, tmp_path)


def test_without_custody_it_is_refused_with_what_to_do(desk: PromptDesk) -> None:
    assert desk.prompts("on", "default") == 1
    assert "fedctl custody init --tenant default --class prompts" in desk.stage.err.getvalue()
    assert [each["kept"] for each in desk.said("status")] == [False]
    assert desk.prompts("off", "nobody") == 1
    assert desk.prompts("on", "default", "--days", "0") == 2


def test_on_show_erase_off(desk: PromptDesk, tmp_path: Path) -> None:
    desk.init("--class", "prompts")
    assert desk.said("on", "default", "--days", "7")["published"] is False
    request = str(desk.keep())
    [shown] = desk.said("status")
    assert (shown["kept"], shown["days"], shown["published"], shown["count"]) == (True, 7, True, 1)
    assert desk.prompts("show", request, *desk.with_cards(ALL[0])) == 1
    assert "two of the three shares" in desk.stage.err.getvalue()
    found = desk.said("show", request, *desk.with_cards(*ALL[:2]))
    assert (found["body"], found["answer"]) == (BODY.decode(), ANSWER.decode())
    # A terminal is never given what a stranger wrote as it is.
    assert desk.prompts("show", request, *desk.with_cards(*ALL[:2])) == 0
    assert "\x1b" not in desk.stage.out.getvalue() and "it flies" in desk.stage.out.getvalue()
    # With the guardian asked its release is in the log, before the half left.
    share = desk.share(ALL[2])
    known = {"operator": public_hex(operator_signing(desk.stage.home))}
    with guarding(make_guardian(desk.server, tmp_path / "g", share, known=known)) as guardian:
        place = ("--guardian", f"127.0.0.1:{guardian.port}")
        assert desk.said("show", request, *desk.with_cards(ALL[0]), *place)["body"]
        assert desk.kinds().count("custody.released") == 1
    opened = "SELECT count(*) FROM ledger.inbox WHERE kind = 'prompts.opened'"
    assert desk.server.psql(opened, "federation") == "3"
    assert desk.prompts("erase", request, "--reason", "asked") == 2  # nobody said yes
    assert desk.said("erase", request, "--reason", "asked", "--yes")["erased"] is True
    assert desk.said("erase", request, "--reason", "asked", "--yes")["erased"] is False
    assert desk.prompts("show", request, *desk.with_cards(*ALL[:2])) == 1
    assert "was erased" in desk.stage.err.getvalue()
    assert desk.prompts("show", str(new_id()), *desk.with_cards(*ALL[:2])) == 1
    assert desk.said("off", "default")["kept"] == 0
    assert [each["kept"] for each in desk.said("status")] == [False]


async def test_the_guardian_erases_what_is_due_and_nothing_else(
    desk: PromptDesk, tmp_path: Path
) -> None:
    import asyncio

    await asyncio.to_thread(desk.init, "--class", "prompts")
    requests = [await asyncio.to_thread(desk.keep) for _ in range(3)]
    old = "ALTER TABLE ledger.contents DISABLE TRIGGER only_erased; UPDATE ledger.contents SET " \
        "stored_at = now() - interval '31 days' WHERE id <> '{}'; " \
        "ALTER TABLE ledger.contents ENABLE TRIGGER only_erased"  # fmt: skip
    desk.server.psql(old.format(record.content_id(str(requests[0]))), "federation")
    share = desk.share(ALL[2])
    kept = "SELECT id FROM ledger.contents WHERE envelope IS NOT NULL"
    with guarding(make_guardian(desk.server, tmp_path / "g", share)) as guardian:

        async def gone() -> bool:
            return len(desk.server.psql(kept, "federation").split()) == 1

        await until(gone)
        assert desk.server.psql(kept, "federation") == str(record.content_id(str(requests[0])))

        async def told() -> bool:
            return (
                "guardian_prompts_erased_total 2.0" in guardian.ask("GET", "/metrics")[1].decode()
            )

        await until(told)
    erased = "SELECT count(*) FROM ledger.inbox WHERE kind = 'content.erased'"
    assert desk.server.psql(erased, "federation") == "2"
