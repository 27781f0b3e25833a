"""Each secret's replacement as `fedctl secrets rotate` carries it out, one function a name.

What they have in common: the run's facts tell the ledger what was done, never a value; where nodes
must follow, the fleet lock is held.
"""

from collections.abc import Callable
from datetime import timedelta

from deploys.authority import AUTHORITY_KEY, OPERATOR, client_pair, succession
from deploys.own_secrets import (
    CHAT_KEY,
    OPERATOR_SIGNING,
    PEPPER,
    WEBHOOK_SECRET,
    new_signing_text,
    rotate_webhook,
    store_of,
)
from deploys.protocol import Outcome
from deploys.secret_catalog import IDENTITY
from fedctl.authority_rotation import NEXT, AuthorityRotation
from fedctl.commands.deploying import carry_out
from fedctl.deploying import deploy, require_success
from fedctl.errors import Refused
from fedctl.pepper_rotation import PepperRotation, in_words
from fedctl.work import Work, actor
from inventory.model import Role
from trust import apikeys
from trust.authority import CERTIFICATE

OVERLAP = timedelta(hours=1)
GATEWAY, RELEASE = ("gateway",), ("release",)


def rotate_identity(work: Work) -> str:
    """Encrypt the whole store to a new identity."""
    home = work.app.home
    work.facts["recipient"] = store_of(home).rotate_identity()
    return f"everything is encrypted to the identity in {home.identity}; copy it to its place"


def rotate_client(work: Work) -> str:
    """A new client key and certificate for `fedctl`."""
    app = work.app
    client_pair(app.home, OPERATOR, app.now(), renew=True)
    certificate = app.home.authority / f"{OPERATOR}.pem"
    work.facts["certificate"] = str(certificate)
    return f"a new key and {certificate}; nobody is asked about the old one, which ends by itself"


def rotate_chat_key(work: Work) -> str:
    """The successor of the key that `fedctl chat` keeps."""
    app = work.app
    store = store_of(app.home)
    kept = store.find(CHAT_KEY, plain=app.home.chat_key)
    if kept is None:
        raise Refused("fedctl chat keeps no key", "fedctl chat --keep-key keeps one")
    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    new, ends = ledger.rotate_key(apikeys.parse(kept.text.strip()).id, OVERLAP, actor())
    store.put(CHAT_KEY, new.reveal())
    work.facts["key_id"] = new.id
    return f"fedctl chat has the new key {new.id}; the old one works until {ends:%H:%M} UTC"


def rotate_signing(work: Work) -> str:
    """Sign with a new key; the guardian believes it from the next apply on."""
    store_of(work.app.home).put(OPERATOR_SIGNING, new_signing_text())
    return "the guardian refuses this operator until it knows the new key: fedctl apply"


def rotate_webhook_secret(work: Work) -> str:
    """Sign notices with a new secret too, from the next apply on."""
    rotate_webhook(work.app.home)
    return (
        "the next fedctl apply gives it to the data nodes, beside the one until now; give it to "
        "the receiver (fedctl keys webhook-secret), then rotate again to end the old one"
    )


def rotate_pepper(work: Work, undo: bool) -> str:
    """A new pepper for new keys, the old one beside it while keys use it."""
    app = work.app
    gateways = tuple(node.name for node in app.federation.with_role(Role.GATEWAY))
    steps: list[str] = []

    def follow() -> bool:
        if not gateways:
            return False  # nobody checks keys yet
        return carry_out(work, gateways, GATEWAY).summary.outcome is Outcome.CHANGED

    def ready() -> None:
        _require_release(work, gateways)

    def tell(text: str) -> None:
        steps.append(text)
        work.note(text)

    ledger = app.parts.open_ledger(app.federation, app.home, app.now)
    rotation = PepperRotation(app.home, ledger.pepper_uses, follow, ready, tell)
    try:
        with work.locked(f"secrets rotate {PEPPER}"):
            ended = rotation.run(undo=undo)
    finally:
        work.facts["steps"] = steps
    work.facts["next"] = {"kind": ended.last.kind, "pepper": ended.last.version}
    work.facts["keys"] = {str(use.version): use.live for use in ended.uses}
    return in_words(ended)


def rotate_authority(work: Work, undo: bool) -> str:
    """The next stage of one authority succeeding another, on every node."""
    app = work.app
    # Without one there is nothing to replace: AuthorityMissing, before anybody is asked.
    state = succession(app.home).state()
    app.confirm(
        f"The authority is {state}. Carry out the next stage? It renews or restarts what uses "
        "certificates on every node, one node first."
    )

    def follow() -> bool:
        return carry_out(work, ()).summary.outcome is Outcome.CHANGED

    rotation = AuthorityRotation(succession(app.home), follow, work.note)
    try:
        with work.locked(f"secrets rotate {AUTHORITY_KEY}"):
            state = rotation.backward() if undo else rotation.forward(app.now())
    finally:
        work.facts["steps"] = rotation.steps
    work.facts["state"] = state.value
    return NEXT[state].format(ca=app.home.authority / CERTIFICATE)


def _require_release(work: Work, nodes: tuple[str, ...]) -> None:
    """Raises Refused unless these nodes run the release that this `fedctl` would install."""
    if not nodes:
        return
    with work.progress.phase("See whether gateways have this release"):
        found = deploy(work, "plan", nodes, RELEASE).summary
    if found.outcome is Outcome.PENDING:
        raise Refused("gateways run another release than this one", "fedctl apply, then try again")
    require_success(work, found)


# `undo` is for those that can go back; the others cannot: what they replaced is gone.
FINAL: dict[str, Callable[[Work], str]] = {
    IDENTITY: rotate_identity,
    OPERATOR: rotate_client,
    CHAT_KEY: rotate_chat_key,
    WEBHOOK_SECRET: rotate_webhook_secret,
    OPERATOR_SIGNING: rotate_signing,
}
UNDOABLE: dict[str, Callable[[Work, bool], str]] = {
    PEPPER: rotate_pepper,
    AUTHORITY_KEY: rotate_authority,
}


def turn(work: Work, name: str, *, undo: bool) -> str:
    """Replace the secret `name`, or go back; what a person is told. Raises Refused."""
    if name in UNDOABLE:
        return UNDOABLE[name](work, undo)
    if undo:
        raise Refused(f"replacing {name} cannot be undone", "rotate it again instead")
    return FINAL[name](work)
