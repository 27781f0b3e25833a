"""`up`: everything from nothing, in one command; again: nothing changes."""

import click

from fedctl.app import App, FedCommand, pass_app
from fedctl.bringing_up import bring_up
from fedctl.selecting import no_lock_option
from fedctl.up_summary import show
from fedctl.work import working


@click.command(cls=FedCommand)
@click.option("--new-key", is_flag=True, help="Issue another API key, although there is one.")
@no_lock_option
@pass_app
def up(app: App, new_key: bool, no_lock: bool) -> None:
    """Bring the whole federation up, and prove it with one real chat completion.

    In a lab: makes and boots the machines first. Then deploys every role, waits until all is
    healthy, and asks the model something through a gateway. Run again, it changes nothing. The API
    key is shown the first time only.
    """
    if app.federation.kind == "site":
        app.confirm(
            f"Deploy to the {len(app.federation.nodes)} machines of {app.federation.name!r}?"
        )
    with working(app, "up") as work:
        result = bring_up(work, new_key=new_key, no_lock=no_lock)
        show(work, result)
