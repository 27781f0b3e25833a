"""What the ledger's pages say of formats and findings is what the code does."""

import re
from pathlib import Path

from daemons.witness import shell, state
from daemons.witness.decide import EVIDENCE, STATUS
from daemons.witness.main import Witness, application
from daemons.witness.shell import Store
from daemons.witness.state import Memory
from ledger import add_checkpoint, tlog_proof
from ledger.__main__ import main as ledger_main
from ledger.content import ERASED, LABEL
from ledger.findings import Fault, Report
from ledger.note import Kind
from tests.support.tlog import ORIGIN, MemoryLog, log_key, witness_key

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference" / "ledger.md").read_text()
HOW_TO = (DOCS / "how-to" / "verify-the-ledger.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def quoted(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)))


def test_every_finding_has_its_line_in_the_how_to() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", HOW_TO, re.MULTILINE)
    assert {name for row in rows for name in quoted(row)} == {fault.value for fault in Fault}


def test_every_answer_of_the_witness_is_documented() -> None:
    row = next(line for line in section("Witness").splitlines() if "POST" in line)
    documented = {int(number) for number in re.findall(r"\b([2-5]\d\d)\b", row)}
    assert documented == {*STATUS.values(), 413, 503}
    assert f"{add_checkpoint.MAX_BYTES // 1024} KiB" in row
    assert add_checkpoint.SIZE_TYPE in row


def test_every_path_of_the_witness_is_documented(tmp_path: Path) -> None:
    witness = Witness(witness_key("a"), (log_key().verifier,), Store(tmp_path, ORIGIN))
    served = {
        f"{route.method} {route.resource.canonical}"
        for route in application(witness).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {word for word in quoted(section("Witness")) if re.match("(GET|POST) /", word)}


def test_the_state_is_described_field_by_field() -> None:
    page = section("Witness")
    row = next(line for line in page.splitlines() if "GET /state" in line)
    assert quoted(row) - {"GET /state"} == {*Memory.fresh(ORIGIN).value(), "digest", "callers"}
    assert {kind.value for kind in EVIDENCE} <= quoted(page)
    for number in (state.DENSE, state.TRAIL_LENGTH, shell.MAX_EVIDENCE):
        assert f" {number}" in page


def test_a_checkpoint_looks_as_documented() -> None:
    example = re.search(r"```\n(.*?)```", section("Checkpoint"), re.DOTALL)
    assert example
    shown = example[1].splitlines()
    real = MemoryLog.of(3).checkpoint().encode().splitlines()
    assert shown[0].endswith("/ledger")
    assert real[0].endswith("/ledger")
    assert [shown[1], shown[3], shown[4][:2]] == [real[1], real[3], real[4][:2]] == ["3", "", "— "]
    for kind in Kind:
        assert f"`{kind:#04x}`" in section("Checkpoint")


def test_a_proof_looks_as_documented() -> None:
    page = section("Proof")
    assert tlog_proof.HEADER in page
    assert f"`{tlog_proof.SUFFIX}`" in page
    assert f"{tlog_proof.MAX_HASHES} at most" in page


def test_content_is_committed_to_as_documented() -> None:
    page = section("`contents` and `content_keys`")
    assert f"`{LABEL.decode()}`" in page
    assert f"`{ERASED}`" in page


def test_the_report_is_described_field_by_field() -> None:
    documented = quoted(section("Verifying a database"))
    assert callable(ledger_main)
    fields = set(Report().value()) - {"from"}
    assert fields <= documented
