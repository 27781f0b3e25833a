"""Render the text files nodes get, from `systemd/NAME` or `deploys/templates/NAME`.

A template that uses a value it was not given is an error, never an empty string. Templates are read
once a process; rendering is pure.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)

from deploys.errors import TemplateError

HERE = Path(__file__).parent
FOLDERS = (HERE.parent / "systemd", HERE / "templates")


def render(name: str, **values: object) -> str:
    """The text of template `name` with `values` put in; raises TemplateError."""
    try:
        return _environment().get_template(name).render(**values)
    except TemplateNotFound as error:
        folders = " or ".join(str(folder) for folder in FOLDERS)
        raise TemplateError(f"no template {error.name!r} in {folders}") from error
    except UndefinedError as error:
        raise TemplateError(f"template {name!r}: {error}") from error


def load_all() -> None:
    """Compile every template now: processes forked later need not."""
    environment = _environment()
    for name in environment.list_templates():
        # Some files there are not ours to render (Prometheus has braces of its own).
        with suppress(TemplateSyntaxError):
            environment.get_template(name)


@cache
def _environment() -> Environment:
    # What is rendered are configuration files, not HTML: escaping would corrupt them.
    return Environment(  # noqa: S701
        loader=FileSystemLoader(FOLDERS),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
