"""`tenants create|list|show|limits`: the namespaces that keys belong to."""

from dataclasses import asdict
from typing import Any

import click

from fedctl import limit_options
from fedctl.app import App, FedGroup, pass_app
from fedctl.limit_options import limit_option
from fedctl.render import age
from fedctl.work import actor, working
from ledger.limits import UNLIMITED, tenant_subject
from ledger.tenants import TenantRecord


@click.group(cls=FedGroup)
def tenants() -> None:
    """Tenants: each has its own keys, limits, usage and audit."""


@tenants.command()
@click.argument("name")
@click.option(
    "--model", "models", multiple=True, help="Its keys may use only these (default: all)."
)
@limit_option
@pass_app
def create(
    app: App, name: str, models: tuple[str, ...], limits: tuple[tuple[str, int | None], ...]
) -> None:
    """A new tenant NAME (lower case letters, digits and hyphens)."""
    with working(app, "tenants create", name[:200]) as work:
        ledger = app.parts.open_ledger(app.federation, app.home, app.now)
        wanted = limit_options.changed(UNLIMITED, limits)
        ledger.create_tenant(name, models or None, actor())
        if limits:
            ledger.set_limits(tenant_subject(name), wanted, actor())
        work.facts |= {"tenant": name, "models": list(models), "limits": asdict(wanted)}
        record = ledger.show_tenant(name)
        if app.json:
            app.output.data(_value(record))
            return
        app.output.say(f"tenant {name}, limits: {limit_options.shown(record.limits)}")


@tenants.command("list")
@pass_app
def list_(app: App) -> None:
    """Every tenant, with its limits and how many of its keys work."""
    found = app.parts.open_ledger(app.federation, app.home, app.now).list_tenants()
    if app.json:
        app.output.data([_value(record) for record in found])
        return
    app.output.table(
        ("name", "keys", "models", "limits", "created", "by"),
        [
            (
                record.name,
                str(record.keys),
                "all" if record.models is None else " ".join(record.models),
                limit_options.shown(record.limits),
                age(record.created_at, app.now()),
                record.created_by,
            )
            for record in found
        ],
    )


@tenants.command()
@click.argument("name")
@pass_app
def show(app: App, name: str) -> None:
    """One tenant: its limits, what is used of them, and its keys that work."""
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    record, uses = ledger.show_tenant(name), ledger.used(tenant_subject(name))
    now = app.now()
    keys = [key for key in ledger.list_keys(name) if key.state(now) == "active"]
    if app.json:
        named = [{"id": key.id, "name": key.name} for key in keys]
        app.output.data(
            {**_value(record), "used": [asdict(use) for use in uses], "key_list": named}
        )
        return
    models = "all" if record.models is None else " ".join(record.models)
    app.output.say(f"tenant {record.name}, models: {models}, keys that work: {len(keys)}")
    app.output.table(("limit", "number", "used"), limit_options.rows(record.limits, uses))
    app.output.table(("key", "name"), [(key.id, key.name) for key in keys])


@tenants.command("limits")
@click.argument("name")
@limit_option
@pass_app
def limits_(app: App, name: str, limits: tuple[tuple[str, int | None], ...]) -> None:
    """Change limits of all keys of a tenant together; gateways follow within a second.

    Those that are not named stay. Without --limit, shows them and what is used.
    """
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    subject, record = tenant_subject(name), ledger.show_tenant(name)
    if limits:
        with working(app, "tenants limits", name[:200]) as work:
            wanted = limit_options.changed(record.limits, limits)
            ledger.set_limits(subject, wanted, actor())
            work.facts |= {
                "tenant": name,
                "limits": asdict(wanted),
                "before": asdict(record.limits),
            }
            record = ledger.show_tenant(name)
    uses = ledger.used(subject)
    if app.json:
        app.output.data({"limits": asdict(record.limits), "used": [asdict(use) for use in uses]})
        return
    app.output.table(("limit", "number", "used"), limit_options.rows(record.limits, uses))


def _value(record: TenantRecord) -> dict[str, Any]:
    return {**record.__dict__, "limits": asdict(record.limits)}
