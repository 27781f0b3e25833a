"""What a person can do about a node that fails, by the kind of failure. Data only."""

from collections.abc import Iterable

from deploys.errors import FailureKind

BY_FAILURE = {
    FailureKind.DOWN: "is it switched on? `fedctl doctor` looks closer",
    FailureKind.TIMEOUT: "is it switched on, and on this network? `fedctl doctor` looks closer",
    FailureKind.WRONG_KEY: "authorise this key there (ssh-copy-id), or set FEDERATION_HOME to the "
    "folder that holds the right one",
    FailureKind.OWN_KEY: "docs/how-to/secrets.md says where your key is and what opens it",
    FailureKind.HOST_KEY_CHANGED: "if you rebuilt the machine, read its fingerprint on its console "
    "and name it: fedctl bootstrap NODE --host-key FINGERPRINT; if not, somebody is in between",
    FailureKind.HOST_KEY_UNKNOWN: "read its fingerprint on its console and name it: "
    "fedctl bootstrap NODE --host-key FINGERPRINT",
    FailureKind.LOST: "run the same command again: what was done stays done",
    FailureKind.ROLLBACK_FAILED: "use the machine's console (in a lab: fedctl lab shell NODE)",
}


def common(kinds: Iterable[FailureKind]) -> str:
    """The advice when all failures are of one kind, else none."""
    found = set(kinds)
    return BY_FAILURE.get(found.pop(), "") if len(found) == 1 else ""
