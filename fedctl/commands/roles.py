"""`roles ...`: who may do what, and how that changes: proposed, approved, reverted."""

from datetime import timedelta
from pathlib import Path

import click

from fedctl import role_words
from fedctl.app import App, FedGroup, pass_app
from fedctl.durations import Duration
from fedctl.role_words import subject_named
from ledger import keys
from ledger import roles as reviews
from ledger.connect import Connection
from ledger.roles import REVIEW, Decision, Proposal, Reviewers
from trust.permissions import Role, Scope

RIGHTS = (*(role.value for role in Role), *(scope.value for scope in Scope), REVIEW)
MONTH = timedelta(days=30)
number_argument = click.argument("number", metavar="PROPOSAL", type=click.IntRange(1, 2**62))


@click.group(cls=FedGroup)
def roles() -> None:
    """Who has which rights, and reviews of changes to that.

    Giving a right needs an operator who did not propose it, or three days where there is one
    operator only. Taking one is done at once.
    """


@roles.command("list")
@pass_app
def list_(app: App) -> None:
    """Proposals that wait for a decision, and changes that one command can revert."""
    found = app.parts.reach_roles(app).do(reviews.history)
    open_ = [p for p in found if p.state == "waiting" or p.revertible]
    _show_all(app, open_, "nothing waits, and nothing can be reverted: fedctl roles history")


@roles.command()
@click.argument("subject", required=False)
@pass_app
def show(app: App, subject: str | None) -> None:
    """What SUBJECT (a key's id, or operator:NAME) may do, and proposals about it.

    Without SUBJECT: which role grants which scopes, and who may propose and approve.
    """
    access = app.parts.reach_roles(app)
    if subject is None:
        _show_policy(app, access.do(reviews.reviewers))
        return
    named = subject_named(subject)

    async def look(connection: Connection) -> tuple[tuple[str, ...], tuple[Proposal, ...]]:
        about = await reviews.history(connection, named)
        if named.startswith("operator:"):
            listed = dict((await reviews.reviewers(connection)).operators)
            return ((REVIEW,) if named.partition(":")[2] in listed else ()), about
        record = await keys.show(connection, named.partition(":")[2])
        return role_words.rights_of(record), about

    rights, about = access.do(look)
    scopes = role_words.scopes_of(rights)
    if app.json:
        data = {"subject": named, "rights": rights, "scopes": scopes}
        app.output.data({**data, "proposals": [role_words.value(p) for p in about]})
        return
    app.output.say(f"{named} has {' '.join(rights) or 'no right'}")
    if not named.startswith("operator:"):
        app.output.say(f"that is: {' '.join(scopes) or 'nothing'}", style="dim")
    if about:
        _show_all(app, list(about), "")


@roles.command()
@click.argument("subject")
@click.option("--give", "given", type=click.Choice(RIGHTS), help="Waits for its approval.")
@click.option("--take", "taken", metavar="RIGHT", help="Done at once.")
@click.option("--why", required=True, help="For the record, of up to 500 characters.")
@click.option(
    "--effects",
    help="What it means over the long horizon, in 20 to 2,000 characters: who relies on it in"
    " years, what it makes hard to take back, what would end it.",
)
@click.option(
    "--reversible-until",
    "reversible",
    type=Duration(),
    metavar="DURATION",
    help="How long `roles revert` takes it back (default 30d, at most 400d).",
)
@pass_app
def propose(
    app: App,
    subject: str,
    given: str | None,
    taken: str | None,
    why: str,
    effects: str | None,
    reversible: timedelta | None,
) -> None:
    """Propose to give SUBJECT (a key's id, or operator:NAME) a right; or take one, at once.

    A right is a role, a scope, or `review`, which only an operator can have. What nobody approves
    within 14 days lapses.
    """
    if (given is None) == (taken is None):
        raise click.UsageError("say either --give RIGHT or --take RIGHT")
    if given is not None and not effects:
        raise click.UsageError("--give needs --effects: what it means over the long horizon")
    if taken is not None and (effects or reversible):
        raise click.UsageError("--effects and --reversible-until belong to --give")
    named, right = subject_named(subject), reviews.right_named(given or taken or "")
    access = app.parts.reach_roles(app)
    how_long = (reversible or MONTH) if given else None
    proposal = access.do(
        lambda connection: reviews.propose(
            connection, access.by, subject=named, action="give" if given else "take", what=right,
            why=why, effects=effects, reversible_for=how_long,
        )
    )  # fmt: skip
    _say(app, proposal, access.do(reviews.reviewers))


def _decide(app: App, number: int, decision: Decision, why: str | None) -> None:
    access = app.parts.reach_roles(app)
    present = access.do(lambda connection: reviews.show(connection, number))
    if not app.json:
        app.output.say(role_words.described(present))
    app.confirm(f"{decision.capitalize()} proposal {number}?")
    done = access.do(
        lambda connection: reviews.decide(connection, access.by, number, decision, why)
    )
    _say(app, done, None)


@roles.command()
@number_argument
@click.option("--why", help="For the record.")
@pass_app
def approve(app: App, number: int, why: str | None) -> None:
    """Put a proposal into effect; gateways follow within a second.

    By another operator than its proposer. The only operator there is approves their own after
    three days.
    """
    _decide(app, number, "approve", why)


@roles.command()
@number_argument
@click.option("--why", required=True, help="For the record.")
@pass_app
def reject(app: App, number: int, why: str) -> None:
    """Refuse a proposal for good, or withdraw one's own."""
    _decide(app, number, "reject", why)


@roles.command()
@number_argument
@click.option("--why", required=True, help="For the record.")
@pass_app
def revert(app: App, number: int, why: str) -> None:
    """Take back at once what a proposal gave, until the date that it named.

    After that date: `roles propose SUBJECT --take RIGHT`.
    """
    _decide(app, number, "revert", why)


@roles.command()
@click.argument("subject", required=False)
@pass_app
def history(app: App, subject: str | None) -> None:
    """Every proposal there ever was (about SUBJECT), and what became of it."""
    named = None if subject is None else subject_named(subject)
    found = app.parts.reach_roles(app).do(lambda connection: reviews.history(connection, named))
    _show_all(app, list(found), "nothing was ever proposed")


@roles.command()
@click.argument("name")
@click.option(
    "--to", "folder", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="A new folder: NAME takes its files to their own machine.",
)  # fmt: skip
@pass_app
def certificate(app: App, name: str, folder: Path) -> None:
    """A certificate of 30 days for the operator NAME, to be used on their own machine.

    The inventory's `operators` has to name them; `roles propose operator:NAME --give review` lets
    them approve.
    """
    from fedctl.operator_certificate import hand_out

    written = hand_out(app.federation, app.home, name, folder, app.now())
    if app.json:
        app.output.data({"operator": name, "files": [str(path) for path in written]})
        return
    for path in written:
        app.output.text(str(path))
    app.output.say(
        f"on {name}'s machine: put them into the folder `authority` of its home, and set "
        f"FEDERATION_OPERATOR={name}"
    )


def _say(app: App, proposal: Proposal, reviewers: Reviewers | None) -> None:
    if app.json:
        app.output.data(role_words.value(proposal))
        return
    app.output.say(role_words.described(proposal))
    if proposal.state == "waiting" and reviewers is not None:
        app.output.say(role_words.what_next(proposal, reviewers), style="dim")


def _show_all(app: App, found: list[Proposal], nothing: str) -> None:
    if app.json:
        app.output.data([role_words.value(p) for p in found])
        return
    if not found:
        app.output.say(nothing)
        return
    app.output.table(role_words.COLUMNS, [role_words.row(p, app.now()) for p in found])


def _show_policy(app: App, reviewers: Reviewers) -> None:
    if app.json:
        app.output.data(role_words.policy(reviewers))
        return
    app.output.table(("role", *Scope), role_words.cells())
    app.output.say(role_words.who_reviews(reviewers))
