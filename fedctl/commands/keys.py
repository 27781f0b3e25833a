"""`keys ...`: who may use the gateway. How keys live and are replaced is in `key_life`."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import click

from fedctl import limit_options
from fedctl.app import App, FedGroup, pass_app
from fedctl.commands.key_life import explain, proof_key, rotate, show, simulate
from fedctl.commands.key_notices import notices, test_notice, webhook_secret
from fedctl.durations import Duration
from fedctl.limit_options import limit_option
from fedctl.render import age
from fedctl.work import actor, working
from ledger.keys import DEFAULT_TENANT, KeyRecord
from ledger.limits import UNLIMITED, key_subject
from trust.permissions import Role, Scope, needs_review

DEFAULT_SCOPES = ("inference",)


@click.group(cls=FedGroup)
def keys() -> None:
    """API keys of the gateway. Only a hash of a key is kept; its text is shown once."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What the key may do.",
)
@click.option("--model", "models", multiple=True, help="Only these models (default: all).")
@click.option(
    "--expires",
    type=Duration(),
    metavar="DURATION",
    help="12h, 30d, 4w (default and most: a year).",
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose key it is.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="Sets of scopes.",
)
@limit_option
@pass_app
def issue(
    app: App,
    name: str,
    scopes: tuple[str, ...],
    models: tuple[str, ...],
    expires: timedelta | None,
    tenant: str,
    roles: tuple[str, ...],
    limits: tuple[tuple[str, int | None], ...],
) -> None:
    """A new key for NAME (a person or a program). The key is printed on stdout, this once.

    Its scopes are those given and those of its roles; without either, inference. Those that show
    more than the key's own work are proposed when it is there: fedctl roles propose.
    """
    if more := needs_review(scopes, roles):
        raise click.UsageError(
            f"a new key cannot have {', '.join(more)}: issue it without, then "
            f"fedctl roles propose ID --give {more[0].partition(':')[2]} --why ... --effects ..."
        )
    with working(app, "keys issue", name) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        until = app.now() + expires if expires else None
        rights = scopes or (() if roles else DEFAULT_SCOPES)
        key, record = ledger.issue(
            name, actor(), rights, models or None, until, tenant=tenant, roles=roles
        )
        work.facts |= {"key_id": record.id, "tenant": tenant}
        if limits:
            # Before anybody has the key's text: no request can come in between.
            wanted = limit_options.changed(UNLIMITED, limits)
            ledger.set_limits(key_subject(record.id), wanted, actor())
            work.facts["limits"] = asdict(wanted)
        if app.json:
            app.output.data({"key": key.reveal(), **_value(record, app.now())})
            return
        app.output.text(key.reveal())
        app.output.say(f"key {record.id} for {record.name}; it is not shown again", style="dim")


@keys.command("list")
@click.option("--all", "everything", is_flag=True, help="Expired and revoked keys too.")
@click.option("--tenant", help="Only the keys of this one.")
@pass_app
def list_(app: App, everything: bool, tenant: str | None) -> None:
    """Keys that work (no secrets)."""
    now = app.now()
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    found = [k for k in ledger.list_keys(tenant) if everything or k.state(now) == "active"]
    if app.json:
        app.output.data([_value(record, now) for record in found])
        return
    if not found:
        app.output.say("no keys: fedctl keys issue NAME")
        return
    app.output.table(
        (
            "id",
            "tenant",
            "name",
            "state",
            "tier",
            "strength",
            "scopes",
            "models",
            "created",
            "by",
            "expires",
        ),
        [
            (
                k.id,
                k.tenant,
                k.name,
                k.state(now) + (f" ({k.revoked_reason})" if k.revoked_reason else ""),
                k.tier.name.lower(),
                f"{k.strength:.0f}",
                " ".join((*k.scopes, *(f"role:{role}" for role in k.roles))),
                "all" if k.models is None else " ".join(k.models),
                age(k.created_at, now),
                k.created_by,
                age(k.expires_at, now) if k.expires_at else "never",
            )
            for k in found
        ],
    )


@keys.command()
@click.argument("key_id", metavar="ID")
@click.option(
    "--reason", default="revoked by the operator", show_default=True, help="For the record."
)
@pass_app
def revoke(app: App, key_id: str, reason: str) -> None:
    """Make a key useless, for good. ID is the part between the underscores of the key."""
    app.confirm(f"Revoke the key {key_id} for good?")
    with working(app, "keys revoke", key_id[:200]) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        record = ledger.revoke(key_id, reason, actor())
        work.facts["key_id"] = record.id
        if app.json:
            app.output.data(_value(record, app.now()))
            return
        app.output.say(f"revoked {record.id} ({record.name}): {record.revoked_reason}")


@keys.command("limits")
@click.argument("key_id", metavar="ID")
@limit_option
@pass_app
def limits_(app: App, key_id: str, limits: tuple[tuple[str, int | None], ...]) -> None:
    """Change the limits of a key while it is in use; gateways follow within a second.

    Those that are not named stay. Without --limit, shows them and what is used. The limits of its
    tenant hold as well.
    """
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    subject = key_subject(key_id)
    present = ledger.show_limits(subject)
    if limits:
        with working(app, "keys limits", key_id[:200]) as work:
            wanted = limit_options.changed(present, limits)
            ledger.set_limits(subject, wanted, actor())
            work.facts |= {"key_id": key_id, "limits": asdict(wanted), "before": asdict(present)}
            present = wanted
    uses = ledger.used(subject)
    if app.json:
        app.output.data({"limits": asdict(present), "used": [asdict(use) for use in uses]})
        return
    app.output.table(("limit", "number", "used"), limit_options.rows(present, uses))


def _value(record: KeyRecord, now: datetime) -> dict[str, Any]:
    tier = record.tier.name.lower()
    return {**record.__dict__, "state": record.state(now), "tier": tier}


for _command in (
    rotate,
    proof_key,
    show,
    explain,
    simulate,
    notices,
    test_notice,
    webhook_secret,
):
    keys.add_command(_command)
