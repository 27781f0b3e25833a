"""fedctl/node_jobs.py: how a job is started on a node, and what is told of one that failed."""

from collections.abc import Sequence

import pytest

from deploys.errors import NodeError
from fedctl.errors import FedctlError
from fedctl.node_jobs import TLS_KEY, asked, last_json, run_unit, shell, transient, why_failed
from fedctl.remote import Done
from inventory.load import load
from tests.unit.fedctl.fakes import LAB, Machines, Stage

FEDERATION = load(LAB)
NODE = FEDERATION.nodes[0]
UNIT = "federation-backup.service"


def test_a_job_runs_as_its_user_and_writes_only_where_it_may() -> None:
    argv = transient("postgres", ["true", "a b"], writes=["/one", "/two"])
    assert argv[:5] == ["systemd-run", "--quiet", "--pipe", "--wait", "--collect"]
    assert argv[argv.index("--") + 1 :] == ["true", "a b"]
    properties = argv[6 : argv.index("--") : 2]
    assert properties == [
        "User=postgres",
        f"LoadCredentialEncrypted={TLS_KEY}",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "UMask=0077",
        "ReadWritePaths=/one",
        "ReadWritePaths=/two",
    ]


def test_what_is_handed_over_lies_in_a_folder_of_its_own() -> None:
    argv = transient("u", ["true"], credentials=[], handed_over="job-1")
    assert argv[8:11:2] == ["RuntimeDirectory=job-1", "RuntimeDirectoryMode=0700"]
    assert not any("Credential" in word for word in argv)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["Starting it...", "ERROR: [056]: no room", "job ended", "{}"], "ERROR: [056]: no room"),
        (["federation-backup: no room", "job ended"], "federation-backup: no room"),
        (["job ended", "Failed to start it."], "job ended"),
        (["Starting it...", "Failed to start it."], ""),
        ([], ""),
    ],
)
def test_of_a_failed_unit_its_own_last_word_is_told(lines: Sequence[str], why: str) -> None:
    assert why_failed(lines) == why


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (['{"n": 1}', '{"n": 2}', "Finished it."], {"n": 2}),
        (['{"n": 1}', "{cut o"], {"n": 1}),
        (["Finished it."], {}),
    ],
)
def test_the_last_whole_value_in_a_journal_counts(
    lines: Sequence[str], found: dict[str, int]
) -> None:
    assert last_json(lines) == found


def machines(stage: Stage, **answers: Done) -> Machines:
    stage.machines.answers |= answers
    return stage.machines


def test_a_units_journal_is_that_of_this_run(stage: Stage) -> None:
    nodes = machines(stage, systemctl=Done(0, "f00d\n", ""), journalctl=Done(0, '{"n": 1}\n', ""))
    assert run_unit(nodes.connect(FEDERATION, stage.home, NODE), UNIT) == {"n": 1}
    assert nodes.ran[0][1] == ("systemctl", "start", UNIT)
    assert nodes.ran[-1][1][-1] == "_SYSTEMD_INVOCATION_ID=f00d"


def test_a_unit_that_failed_says_why_or_what_systemctl_said(stage: Stage) -> None:
    nodes = machines(stage, systemctl=Done(1, "", "no such unit"), journalctl=Done(0, "", ""))
    with pytest.raises(FedctlError, match=f"{NODE.name}: {UNIT} failed: no such unit"):
        run_unit(nodes.connect(FEDERATION, stage.home, NODE), UNIT)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Done(3, "out", "first\nlast\n"), "asking: last"),
        (Done(3, "only this", ""), "asking: only this"),
        (Done(3, "", ""), "asking: exit code 3"),
        (Done(0, "no value", ""), "asking said 'no value'"),
        (Done(0, "", ""), "asking said ''"),
    ],
)
def test_an_answer_that_is_none_is_told_in_the_nodes_words(
    stage: Stage, done: Done, said: str
) -> None:
    nodes = machines(stage, ask=done)
    with pytest.raises(NodeError) as raised:
        asked(nodes.connect(FEDERATION, stage.home, NODE), ["ask"], "asking")
    assert str(raised.value).endswith(said)


def test_a_script_ends_with_its_first_error(stage: Stage) -> None:
    link = stage.machines.connect(FEDERATION, stage.home, NODE)
    assert shell(link, "echo one; echo two", "it") == "one\ntwo\n"
    with pytest.raises(NodeError, match=f"{NODE.name}: it: one"):
        shell(link, "echo one; false; echo two", "it")
