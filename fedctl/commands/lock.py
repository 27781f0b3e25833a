"""`lock show|break`: who is changing the fleet."""

import click

from fedctl import lock_shell
from fedctl.app import App, FedGroup, pass_app
from fedctl.fleet_lock import ask, no_majority
from fedctl.lock import Record, Word
from fedctl.remote import Links
from fedctl.work import working


@click.group(cls=FedGroup)
def lock() -> None:
    """The fleet lock: only one operator changes the fleet at a time."""


@lock.command()
@pass_app
def show(app: App) -> None:
    """Who holds the lock, why, since when, and until when unless renewed."""
    with Links(app.parts.connect, app.federation, app.home) as links:
        found, asked = _look(app, links)
    if app.json:
        app.output.data(_value(found, asked))
        return
    if not found:
        app.output.text("free")
        return
    for record, nodes in found.values():
        app.output.table(("lock", ""), list(_rows(record, nodes)))


@lock.command("break")
@pass_app
def break_(app: App) -> None:
    """Take the lock away from whoever holds it; their run then stops by itself.

    Only for an operator who is gone: two at once is what the lock prevents.
    """
    with Links(app.parts.connect, app.federation, app.home) as links:
        found, _ = _look(app, links)
        if not found:
            app.output.say("free: nothing to break")
            return
        whose = "; ".join(f"{r.claim.owner}: {r.claim.reason}" for r, _ in found.values())
        app.confirm(f"Break the lock of {whose}?")
        with working(app, "lock break", whose[:200]) as work:
            for record, nodes in found.values():
                argv = lock_shell.release(record.claim.token)
                ask(links, app.federation.select(tuple(nodes)), argv)
                work.note(f"broken: {record.claim.owner}: {record.claim.reason}")
            if app.json:
                app.output.data({"broken": [r.claim.owner for r, _ in found.values()]})


Found = dict[str, tuple[Record, list[str]]]


def _look(app: App, links: Links) -> tuple[Found, list[str]]:
    """Records by token with the nodes that keep them, and the nodes that answered."""
    nodes = app.linux()
    answers = ask(links, nodes, lock_shell.show())
    if not answers:
        raise no_majority(links, nodes, 0)
    found: Found = {}
    for name, answer in answers.items():
        if answer.word is Word.HELD and answer.record is not None:
            found.setdefault(answer.record.claim.token, (answer.record, []))[1].append(name)
    return found, list(answers)


def _value(found: Found, asked: list[str]) -> dict[str, object]:
    if not found:
        return {"held": False, "asked": asked}
    record, nodes = max(found.values(), key=lambda item: len(item[1]))
    return {"held": True, **record.holder().__dict__, "nodes": nodes, "asked": asked}


def _rows(record: Record, nodes: list[str]) -> list[tuple[str, str]]:
    holder = record.holder()
    return [
        ("owner", holder.owner),
        ("reason", holder.reason),
        ("since", holder.since),
        ("until", f"{holder.until} unless renewed"),
        ("on", " ".join(nodes)),
        ("run", holder.run),
    ]
