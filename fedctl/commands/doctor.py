"""`doctor`: looks at everything that has to be right, and says what to do about what is not."""

import click
from rich.text import Text

from fedctl.app import App, FedCommand, pass_app
from fedctl.checkup import Check, State, checkup
from fedctl.errors import ChecksFailed
from fedctl.render import BAD, DIM, DOUBTFUL, GOOD

STYLES = {State.GOOD: GOOD, State.DOUBTFUL: DOUBTFUL, State.BAD: BAD, State.SKIPPED: DIM}


@click.command(cls=FedCommand)
@pass_app
def doctor(app: App) -> None:
    """Check this machine, the inventory, SSH, clocks, disks, certificates and ports.

    Every finding comes with what to do about it. Changes nothing.
    """
    checks = list(checkup(app))
    if app.json:
        app.output.data([check.__dict__ for check in checks])
    else:
        for check in checks:
            _show(app, check)
    bad = [check for check in checks if check.state is State.BAD]
    if bad:
        raise ChecksFailed(f"{len(bad)} of {len(checks)} checks failed", bad[0].advice)
    app.output.say(f"{len(checks)} checks, nothing is broken", style="dim")


def _show(app: App, check: Check) -> None:
    line = Text.assemble((f"{check.state.value:<8} ", STYLES[check.state]), check.what)
    if check.found:
        line.append(f": {check.found}")
    app.output.styled(line)
    if check.advice and check.state is not State.GOOD:
        app.output.styled(Text(f"         {check.advice}", style="dim"))
