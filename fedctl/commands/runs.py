"""`runs list|show`: what was done from this machine, when, and how it ended."""

import click

from fedctl import runs as folders
from fedctl.app import App, FedGroup, pass_app
from fedctl.render import seconds


@click.group(cls=FedGroup)
def runs() -> None:
    """Past runs: every command that changes something leaves a log folder."""


@runs.command("list")
@click.option("-n", "--number", default=20, show_default=True, help="How many, newest first.")
@pass_app
def list_(app: App, number: int) -> None:
    """The latest runs, newest first."""
    found = folders.past(app.home.runs, number)
    if app.json:
        app.output.data(
            [
                {
                    "run": run.id,
                    "command": run.command,
                    "started": run.started,
                    "seconds": run.seconds,
                    "exit_code": run.exit_code,
                    "folder": run.folder,
                }
                for run in found
            ]
        )
        return
    if not found:
        app.output.say("no runs yet")
        return
    app.output.table(
        ("run", "command", "took", "exit"),
        [
            (
                run.id,
                run.command,
                "" if run.seconds is None else seconds(run.seconds),
                "not ended" if run.exit_code is None else str(run.exit_code),
            )
            for run in found
        ],
    )


@runs.command()
@click.argument("run", default="last")
@pass_app
def show(app: App, run: str) -> None:
    """One run's summary and log. RUN is its name, a part of it, or `last`."""
    found = folders.find(app.home.runs, run)
    log = found.folder / folders.LOG
    text = log.read_text() if log.exists() else ""
    if app.json:
        app.output.data({**found.summary, "run": found.id, "folder": found.folder, "log": text})
        return
    app.output.text(text.rstrip("\n"))
    app.output.say(f"all its files: {found.folder}", style="dim")
