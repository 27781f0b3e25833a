"""Tests of the script that installs environments on nodes: the real uv, wheels made here."""

import base64
import hashlib
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import uv

from deploys.remote import environment_install as install
from deploys.remote import environments_state as state


def write_wheel(folder: Path, name: str, version: str, members: dict[str, str]) -> Path:
    """A pure Python wheel with these files (PEP 427), the same bytes every time."""
    info = f"{name}-{version}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(member), text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
            record += f"{member},sha256={digest.decode().rstrip('=')},{len(text)}\n"
        archive.writestr(zipfile.ZipInfo(f"{info}/RECORD"), f"{record}{info}/RECORD,,\n")
    return path


def listed(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


class Node:
    """A machine's /opt/federation, in a folder of the test's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.built = root / "built"
        self.built.mkdir()
        with zipfile.ZipFile(self.built / "uv-1-py3-none-any.whl", "w") as archive:
            archive.write(uv.find_uv_bin(), "uv-1.data/scripts/uv")

    def argument(self, name: str, version: str, **changes: Any) -> dict[str, Any]:
        """What an operator would ask for: environment `name` with alpha at `version`."""
        write_wheel(self.built, "alpha", version, {"alpha.py": f"version = {version!r}\n"})
        files = ("uv-1-py3-none-any.whl", f"alpha-{version}-py3-none-any.whl")
        wheels = {f: hashlib.sha256((self.built / f).read_bytes()).hexdigest() for f in files}
        return {
            "folder": str(self.root / "releases"),
            "families": [str(self.root / "releases")],
            "name": name,
            "digest": hashlib.sha256(str(wheels).encode()).hexdigest(),
            "wheels": wheels,
            "installer": files[0],
            "imports": ["alpha"],
            "link": str(self.root / "current"),
            "previous": str(self.root / "previous"),
            "keep": 2,
            "compile": False,
            "wheelhouse": str(self.root / "wheelhouse"),
            **changes,
        }

    def deliver(self, argument: dict[str, Any]) -> None:
        """Copy the wheels the node lacks, as an operator would."""
        incoming = self.root / "wheelhouse" / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        for file, digest in argument["wheels"].items():
            if digest not in self.state()["pool"]:
                (incoming / file).write_bytes((self.built / file).read_bytes())

    def install(self, name: str, version: str, **changes: Any) -> None:
        """Deliver and install."""
        argument = self.argument(name, version, **changes)
        self.deliver(argument)
        install.main(argument)

    def state(self) -> Any:
        """What the fact says."""
        return state.main(
            {
                "folder": str(self.root / "releases"),
                "link": str(self.root / "current"),
                "wheelhouse": str(self.root / "wheelhouse"),
            }
        )


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    # Hosted tools may stand before the system's Python; any will do here.
    monkeypatch.setattr(install, "PYTHON", sys.executable)
    return Node(tmp_path)


def test_a_release_is_installed_and_put_in_use(node: Node) -> None:
    assert node.state() == {"installed": {}, "link": "", "pool": [], "incoming": {}}
    node.install("1", "1.0")
    assert node.state()["link"] == "1"
    assert list(node.state()["installed"]) == ["1"]
    assert listed(node.root / "wheelhouse") == ["pool"]
    assert list((node.root / "current" / "lib").glob("python3*/site-packages/alpha.py"))


def test_the_old_release_stays_and_old_ones_go(node: Node) -> None:
    for number in range(1, 5):
        node.install(str(number), f"{number}.0")
    found = node.state()
    assert sorted(found["installed"]) == ["3", "4"]
    assert found["link"] == "4"
    assert str((node.root / "previous").readlink()) == "releases/3"
    assert len(found["pool"]) == 3


def test_going_back_needs_no_wheels(node: Node) -> None:
    node.install("1", "1.0")
    node.install("2", "2.0")
    install.main(node.argument("1", "1.0"))
    assert node.state()["link"] == "1"
    assert str((node.root / "previous").readlink()) == "releases/2"


def test_a_damaged_wheel_is_refused_and_asked_for_again(node: Node) -> None:
    argument = node.argument("1", "1.0")
    node.deliver(argument)
    wheel = node.root / "wheelhouse" / "incoming" / "alpha-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"!")
    with pytest.raises(SystemExit, match="damaged"):
        install.main(argument)
    assert node.state()["installed"] == {}
    node.deliver(argument)
    install.main(argument)
    assert node.state()["link"] == "1"


def test_a_release_that_cannot_be_imported_is_never_put_in_use(node: Node) -> None:
    node.install("1", "1.0")
    with pytest.raises(SystemExit, match="nonsense"):
        node.install("2", "2.0", imports=["nonsense"])
    assert node.state()["link"] == "1"
    assert listed(node.root / "releases") == ["1"]


def test_what_an_interruption_left_is_cleared_away(node: Node) -> None:
    (node.root / "releases" / ".new-1" / "bin").mkdir(parents=True)
    (node.root / "releases" / "1" / "bin").mkdir(parents=True)
    (node.root / "wheelhouse" / ".work-1").mkdir(parents=True)
    assert node.state()["installed"] == {}
    node.install("1", "1.0")
    assert listed(node.root / "releases") == ["1"]
    assert listed(node.root / "wheelhouse") == ["pool"]


def test_an_environment_of_the_same_name_is_replaced(node: Node) -> None:
    node.install("1", "1.0")
    before = node.state()["installed"]["1"]
    node.install("1", "2.0")
    assert node.state()["installed"]["1"] != before
    [module] = (node.root / "current" / "lib").glob("python3*/site-packages/alpha.py")
    assert "2.0" in module.read_text()
