"""`usage`: what tenants and keys have asked for, and how many tokens it took."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from fedctl.app import App, FedCommand, pass_app
from fedctl.durations import Duration
from fedctl.render import age
from ledger.usage import Usage

DEFAULT_SINCE = "30d"


@click.command(cls=FedCommand)
@click.option("--tenant", metavar="NAME", help="Only this tenant's.")
@click.option("--key", "key_id", metavar="ID", help="Only this key's.")
@click.option(
    "--since",
    type=Duration(),
    default=DEFAULT_SINCE,
    show_default=True,
    metavar="DURATION",
    help="12h, 30d, 4w.",
)
@pass_app
def usage(app: App, tenant: str | None, key_id: str | None, since: timedelta) -> None:
    """Requests and tokens by tenant, key and model, from the ledger.

    What a gateway has not shipped yet (a moment's work, or an outage's) is not in it.
    """
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    found = ledger.usage(tenant, key_id, app.now() - since)
    if app.json:
        app.output.data([_value(row) for row in found])
        return
    app.output.table(
        (
            "tenant",
            "key",
            "name",
            "model",
            "requests",
            "answered",
            "tokens in",
            "tokens out",
            "last",
        ),
        [
            (
                row.tenant,
                row.key_id,
                row.key_name or "-",
                row.model,
                str(row.requests),
                str(row.answered),
                str(row.prompt_tokens),
                str(row.completion_tokens),
                age(row.last_at, app.now()),
            )
            for row in found
        ],
    )


def _value(row: Usage) -> dict[str, Any]:
    return {**asdict(row), "last_at": row.last_at.isoformat()}
