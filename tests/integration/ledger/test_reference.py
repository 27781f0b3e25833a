"""docs/reference/event-log.md says what the code does: schema, envelope, hashes, checkpoint."""

import re
from pathlib import Path

from ledger import merkle
from ledger.checkpoint import Checkpoint, opened
from ledger.event import FIELDS, Event
from ledger.merkle import leaf_hash
from ledger.note import Kind, Note, SignerKey, VerifierKey
from tests.support import log_schema
from tests.support.postgres import Server

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "event-log.md"


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_schema_is_the_databases(database: Server) -> None:
    text = PAGE.read_text()
    begin, end = text.index(log_schema.BEGIN), text.index(log_schema.END) + len(log_schema.END)
    assert text[begin:end] == log_schema.block(database)


def test_the_example_event_is_canonical_and_its_hash_is_right() -> None:
    [body] = fenced("json")
    event = Event.parse(body.strip().encode())
    assert event.canonical().decode() == body.strip()
    assert leaf_hash(event.canonical()).hex() in PAGE.read_text()
    for field in FIELDS:
        assert f"| `{field}` |" in PAGE.read_text()


def test_the_example_checkpoint_is_of_that_event_and_verifies() -> None:
    [note] = fenced("checkpoint")
    [vkeys] = fenced("keys")
    log, witness = (VerifierKey.parse(line) for line in vkeys.strip().splitlines())
    assert (log.kind, witness.kind) == (Kind.ED25519, Kind.COSIGNATURE_ED25519)
    head = opened(note, [log], log.name)
    assert set(Note.parse(note).verified([log, witness])) == {log, witness}
    [body] = fenced("json")
    assert head == Checkpoint(log.name, 1, merkle.root([leaf_hash(body.strip().encode())]))


def example() -> str:
    """The page's blocks, for whoever changes the formats: print(example())."""
    [body] = fenced("json")
    log = SignerKey("lab.fed.internal/ledger", Kind.ED25519, b"\1" * 32)
    witness = SignerKey("redfin.fed.internal/witness", Kind.COSIGNATURE_ED25519, b"\2" * 32)
    head = Checkpoint(log.name, 1, merkle.root([leaf_hash(body.strip().encode())]))
    text = head.text()
    note = Note(text, (log.sign(text), witness.sign(text, 1_795_000_000))).encode()
    keys = f"{log.verifier.text()}\n{witness.verifier.text()}\n"
    return f"{leaf_hash(body.strip().encode()).hex()}\n{note}\n{keys}"
