"""`keys notices|test-notice|webhook-secret`: what the webhook is told of keys, and signed with."""

import socket
import time
from dataclasses import asdict
from uuid import UUID

import click
from rich.text import Text

from daemons.key_decay.message import trial_message
from deploys.own_secrets import webhook_text
from deploys.roles.key_decay import NAME
from fedctl.app import App, FedCommand, pass_app
from fedctl.errors import FedctlError, Refused
from fedctl.remote import Links
from fedctl.render import BAD, DOUBTFUL, GOOD, age
from fedctl.work import Work, actor, working
from inventory.model import Role
from ledger.identifiers import new_id
from ledger.notices import DELIVERED, GIVEN_UP, PENDING, STATES, NoticeRecord

STYLES = {PENDING: DOUBTFUL, DELIVERED: GOOD, GIVEN_UP: BAD}
NEWEST = 10_000
WAIT_SECONDS = 60.0
LOOK_SECONDS = 1.0
START_SECONDS = 30.0
NO_WEBHOOK = (
    "the inventory names no webhook",
    "set webhook_url and webhook_address under [keys], then: fedctl apply",
)


@click.command(cls=FedCommand)
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES),
    help="Only these; can be given again (default: pending and given_up).",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, NEWEST), default=100, show_default=True,
    help="So many, the newest first.",
)  # fmt: skip
@pass_app
def notices(app: App, states: tuple[str, ...], limit: int) -> None:
    """Notices of keys for the webhook: what waits, what was given up, what was taken.

    A notice is tried for three days and shown for 30. Its id is the id of its event in the log.
    """
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    found = ledger.notices(states or (PENDING, GIVEN_UP), limit)
    if app.json:
        app.output.data([asdict(each) for each in found])
        return
    if not found:
        app.output.say("no notice waits, and none was given up" if not states else "none")
        return
    rows = [
        (str(each.id), each.kind, each.key_id, Text(each.state, STYLES[each.state]),
         age(each.made_at, app.now()), str(each.attempts), each.last_error or "-")
        for each in found
    ]  # fmt: skip
    app.output.table(("id", "kind", "key", "state", "made", "attempts", "last error"), rows)


@click.command("test-notice", cls=FedCommand)
@pass_app
def test_notice(app: App) -> None:
    """Have a data node send a test notice to the webhook now, and say what became of it.

    Exit code 1 when it was not taken within a minute; it goes on being tried like any other.
    """
    if app.federation.keys.webhook_url is None:
        raise Refused(*NO_WEBHOOK)
    with working(app, "keys test-notice", "webhook") as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        notice = trial_message(new_id(), app.now(), socket.gethostname(), actor())
        ledger.put_notice(notice)
        work.facts["notice"] = str(notice.id)
        work.note(f"notice {notice.id} waits; having a data node send it")
        _start(app, work)
        record = _watched(app, notice.id)
        work.facts |= {"state": record.state, "attempts": record.attempts}
        if app.json:
            app.output.data(asdict(record))
        if record.state != DELIVERED:
            said = record.last_error or "no data node has tried yet"
            raise FedctlError(
                f"the webhook has not taken it: {said}",
                f"fedctl keys notices shows it; fedctl logs {NAME} --role data says more",
            )
        app.output.say(f"{app.federation.keys.webhook_url} took it", GOOD)


def _start(app: App, work: Work) -> None:
    """Start the key decay on the first data node that does so."""
    nodes = app.federation.with_role(Role.DATA)
    command = ["systemctl", "start", "--no-block", f"{NAME}.service"]
    with Links(app.parts.connect, app.federation, app.home) as links:
        links.reach(nodes)
        for node in nodes:
            if node.name not in links.open:
                continue
            done = links.open[node.name].run(command, root=True, seconds=START_SECONDS)
            if done.code == 0:
                work.facts["node"] = node.name
                return
    work.note("no data node could be told to; the next hourly run sends it")


def _watched(app: App, notice_id: UUID) -> NoticeRecord:
    """The notice once it was tried, or as it is after a minute."""
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    ends = time.monotonic() + WAIT_SECONDS
    while True:
        [record] = ledger.notices(STATES, 1, notice_id)
        if record.state != PENDING or record.last_error or time.monotonic() > ends:
            return record
        time.sleep(LOOK_SECONDS)


@click.command("webhook-secret", cls=FedCommand)
@pass_app
def webhook_secret(app: App) -> None:
    """Print the secret with which notices are signed, for whoever receives them.

    It begins with whsec_, as Standard Webhooks has it. After fedctl secrets rotate webhook-secret
    and an apply, messages carry signatures of this one and of the one before.
    """
    newest = webhook_text(app.home).split()[0]
    if app.json:
        app.output.data({"secret": newest})
        return
    app.output.text(newest)
