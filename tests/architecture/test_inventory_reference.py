"""docs/reference/inventory.md names every field of the model, with its default, and no other."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from inventory import model, sections

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "inventory.md").read_text()
PARTS: dict[str, type[BaseModel]] = {
    "The federation": model.Federation,
    "`[network]`": sections.Network,
    "`[inference]`": sections.Inference,
    "`[ports]`": sections.Ports,
    "`[backup]`": sections.Backup,
    "`[keys]`": sections.Keys,
    "`[tracing]`": sections.Tracing,
    "`[nodes.NAME]`": model.Node,
    "`limits`": model.Limits,
    "`ssh`": model.Ssh,
}
# Tables of their own in the file, or the name of one.
ELSEWHERE = {"network", "inference", "ports", "backup", "keys", "tracing", "nodes", "name"}


def rows(title: str) -> dict[str, str]:
    """Field -> its default as the page says, in one section."""
    section = re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
    (body,) = [part for part in section if part.startswith(title + "\n")]
    found = {}
    for line in body.splitlines()[1:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        step = 2 if title == "`[ports]`" else len(cells)
        for at in range(0, len(cells), step):
            name = re.fullmatch(r"`([a-z_]+)`", cells[at])
            if name:
                found[name[1]] = cells[at + step - 1]
    return found


@pytest.mark.parametrize("title", PARTS)
def test_a_section_names_each_field_once_and_no_other(title: str) -> None:
    fields = set(PARTS[title].model_fields)
    documented = set(rows(title))
    assert documented - fields == set()
    missing = fields - documented
    assert missing <= (ELSEWHERE if PARTS[title] in (model.Federation, model.Node) else set())


@pytest.mark.parametrize("title", PARTS)
def test_defaults_are_the_models(title: str) -> None:
    for name, shown in rows(title).items():
        default = PARTS[title].model_fields[name].get_default(call_default_factory=True)
        if default is PydanticUndefined:
            assert "required" in shown, name
        elif isinstance(default, bool | int | float):
            assert str(default) in shown.strip("`"), name
        elif isinstance(default, str):
            assert default in shown, name


@pytest.mark.parametrize("role", list(model.Role))
def test_every_role_is_named(role: model.Role) -> None:
    assert f"`{role}`" in PAGE
