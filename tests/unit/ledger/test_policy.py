"""ledger/policy.py: whom to believe, and how many of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.errors import PolicyInvalid
from ledger.note import Note
from ledger.policy import Policy
from tests.support.tlog import TIME, MemoryLog, cosigned, log_key, witness_key

LOG = MemoryLog.of(5)
NAMES = ("a", "b", "c")
KEYS = {name: witness_key(name, 100 + n) for n, name in enumerate(NAMES)}
PUBLIC = {name: key.verifier for name, key in KEYS.items()}
W = {name: key.text() for name, key in PUBLIC.items()}
L = LOG.key.verifier.text()


def by(*names: str) -> Note:
    return cosigned(LOG.checkpoint(), [KEYS[name] for name in names])


@pytest.mark.parametrize("count", range(4))
def test_more_than_half_of_the_witnesses_is_the_federations_quorum(count: int) -> None:
    standing = Policy.of(LOG.key.verifier, PUBLIC).judge(by(*NAMES[:count]))
    assert bool(standing.refusal) is (count < 2)
    assert standing.cosigned == dict.fromkeys(NAMES[:count], TIME)


def test_a_cosignature_counts_once_however_often_it_is_there() -> None:
    note = by("a", "a", "a")
    assert Policy.of(LOG.key.verifier, PUBLIC).judge(note).refusal


def test_a_bad_cosignature_counts_for_nothing_and_spoils_nothing() -> None:
    wrong = KEYS["b"].sign("another text\n1\n\n", TIME)
    note = by("a", "c")
    spoiled = Note(note.text, (*note.signatures, wrong))
    standing = Policy.of(LOG.key.verifier, PUBLIC).judge(spoiled)
    assert not standing.refusal
    assert set(standing.cosigned) == {"a", "c"}
    assert Policy.of(LOG.key.verifier, PUBLIC, 3).judge(spoiled).refusal


def test_a_witness_of_the_right_name_with_another_key_counts_for_nothing() -> None:
    impostor = witness_key("a", 200)
    note = cosigned(LOG.checkpoint(), [impostor, KEYS["b"]])
    assert Policy.of(LOG.key.verifier, PUBLIC).judge(note).refusal


def test_without_the_logs_signature_no_number_of_witnesses_helps() -> None:
    note = by(*NAMES)
    bare = Note(note.text, note.signatures[1:])
    assert "no log" in Policy.of(LOG.key.verifier, PUBLIC).judge(bare).refusal
    other = Policy.of(log_key(3).verifier, PUBLIC)
    assert "no log" in other.judge(note).refusal


def test_a_log_cannot_sign_for_another_ones_origin() -> None:
    stranger = MemoryLog(log_key(1, "stranger.example/log"), LOG.bodies)
    text = LOG.checkpoint().text
    note = Note(text, (stranger.key.sign(text),))
    refusal = Policy.of(stranger.key.verifier, {}).judge(note).refusal
    assert "signed by the log" in refusal


@pytest.mark.parametrize("threshold", range(4))
def test_a_policy_is_read_back_from_its_file(threshold: int) -> None:
    policy = Policy.of(LOG.key.verifier, PUBLIC, threshold)
    assert Policy.parse(policy.text()) == policy
    for count in range(4):
        refused = bool(policy.judge(by(*NAMES[:count])).refusal)
        assert refused is (count < threshold)


def test_nobody_to_ask_is_a_policy_of_the_log_alone() -> None:
    policy = Policy.of(LOG.key.verifier, {})
    assert policy.quorum == "none"
    assert not policy.judge(LOG.checkpoint()).refusal


NESTED = f"""\
# two of ours and theirs
log {L} https://log.example/
witness a {W["a"]}
witness b {W["b"]}
group ours all a b
\twitness c  {W["c"]}\thttps://c.example/
group everyone any ours c
quorum everyone
"""


@pytest.mark.parametrize(
    ("names", "enough"),
    [((), False), (("a",), False), (("a", "b"), True), (("c",), True), (("a", "c"), True)],
)
def test_groups_may_hold_groups(names: tuple[str, ...], enough: bool) -> None:
    assert bool(Policy.parse(NESTED).judge(by(*names)).refusal) is not enough


BAD = [
    ("no quorum", f"log {L}\n"),
    ("two quorums", f"log {L}\nquorum none\nquorum none\n"),
    ("an unknown word", "lug x\nquorum none\n"),
    ("a key that is none", "log x+y+z\nquorum none\n"),
    ("a witness's key as a log's", f"log {W['a']}\nquorum none\n"),
    ("a log's key as a witness's", f"witness a {L}\nquorum none\n"),
    ("one key under two names", f"witness a {W['a']}\nwitness b {W['a']}\nquorum none\n"),
    ("one name for two keys", f"witness a {W['a']}\nwitness a {W['b']}\nquorum none\n"),
    ("the reserved name", f"witness none {W['a']}\nquorum none\n"),
    ("a member not defined before", f"group g all a\nwitness a {W['a']}\nquorum g\n"),
    ("a member twice", f"witness a {W['a']}\ngroup g all a a\nquorum g\n"),
    ("a member of two groups", f"witness a {W['a']}\ngroup g all a\ngroup h all a\nquorum g\n"),
    ("a group of itself", f"witness a {W['a']}\ngroup g all g\nquorum g\n"),
    ("a threshold of none", f"witness a {W['a']}\ngroup g 0 a\nquorum g\n"),
    ("a threshold above the members", f"witness a {W['a']}\ngroup g 2 a\nquorum g\n"),
    ("a threshold that is no number", f"witness a {W['a']}\ngroup g ² a\nquorum g\n"),
    ("a group of nobody", "group g all\nquorum g\n"),
    ("a quorum nobody defined", f"log {L}\nquorum g\n"),
    ("a control character", f"log {L}\r\nquorum none\n"),
]


@pytest.mark.parametrize("text", [case[1] for case in BAD], ids=[case[0] for case in BAD])
def test_a_policy_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        Policy.parse(text)


@given(st.text(max_size=200))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        Policy.parse(text)
    except PolicyInvalid as error:
        assert str(error)
