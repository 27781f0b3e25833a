"""Read a daemon's configuration file: TOML in, one frozen settings object out, once, in `main()`.

Shared by everything systemd starts, so that all files are refused the same way: which field, what
it holds, what was expected. The environment overrides nothing. A path may begin with
`$CREDENTIALS_DIRECTORY`, the folder systemd decrypts this process's secrets into; `resolve` says
where that is.

ConfigError
├── ConfigMissing         there is no such file, or it cannot be read
├── ConfigInvalid         the file says something the settings refuse (one Problem a finding)
└── CredentialsMissing    a path needs $CREDENTIALS_DIRECTORY and systemd did not set it
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from inventory.errors import Problem

MAX_BYTES = 1 << 20
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIALS = Path(f"${CREDENTIALS_VARIABLE}")


class ConfigError(Exception):
    """Base of what reading a configuration raises on purpose."""


class ConfigMissing(ConfigError):
    """The file does not exist or cannot be read."""


class ConfigInvalid(ConfigError):
    """The file was read and refused; `problems` lists every finding."""

    def __init__(self, path: Path | str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{path} is not a valid configuration:\n{lines}")


class CredentialsMissing(ConfigError):
    """A path begins with $CREDENTIALS_DIRECTORY, which is not set."""


def _absolute(path: Path) -> Path:
    if not path.is_absolute() and not path.is_relative_to(CREDENTIALS):
        raise ValueError(f"must be absolute, or begin with {CREDENTIALS}/")
    if ".." in path.parts:
        raise ValueError("must not contain '..'")
    return path


ConfigPath = Annotated[Path, AfterValidator(_absolute)]


def resolve(path: Path, environment: Mapping[str, str]) -> Path:
    """`path` with a leading `$CREDENTIALS_DIRECTORY` replaced; raises CredentialsMissing."""
    if not path.is_relative_to(CREDENTIALS):
        return path
    folder = environment.get(CREDENTIALS_VARIABLE)
    if not folder:
        raise CredentialsMissing(
            f"{path} needs {CREDENTIALS_VARIABLE}: does the unit lack LoadCredentialEncrypted?"
        )
    return Path(folder) / path.relative_to(CREDENTIALS)


class Settings(BaseSettings):
    """Base of every daemon's settings: frozen, unknown fields refused, one source: the file."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(frozen=True, extra="forbid")

    @classmethod
    def settings_customise_sources(  # pydantic calls it with these names
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """No environment, no dotenv: two places to configure one thing is one too many."""
        return (init_settings,)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The settings in the TOML file `path`.

        Raises ConfigMissing when it cannot be read, ConfigInvalid listing every problem found.
        """
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ConfigMissing(f"cannot read {path}: {error.strerror}") from error
        if len(raw) > MAX_BYTES:
            raise ConfigInvalid(path, (Problem("file", f"{len(raw)} bytes", "at most 1 MiB"),))
        try:
            data = tomllib.loads(raw.decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigInvalid(path, (Problem("file", "not TOML", str(error)),)) from error
        return cls.parse(data, path)

    @classmethod
    def parse(cls, data: dict[str, Any], path: Path | str = "config") -> Self:
        """The settings in already decoded TOML; raises ConfigInvalid."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise ConfigInvalid(path, _problems(error)) from error


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    found = []
    for detail in error.errors(include_url=False):
        field = ".".join(str(part) for part in detail["loc"]) or "file"
        shown = "(missing)" if detail["type"] == "missing" else repr(detail.get("input"))[:120]
        found.append(Problem(field, shown, detail["msg"]))
    return tuple(found)
