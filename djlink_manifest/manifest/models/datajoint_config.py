"""Read how DataJoint's configuration reaches its server, as DataJoint does, without importing it.

The only place that reads `datajoint.json` and `.secrets` for the manifest's `local: datajoint`. No message
here holds a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

Key = Literal["host", "port", "user", "password", "use_tls", "backend"]

CONFIG, SECRETS, SYSTEM_SECRETS = "datajoint.json", ".secrets", Path("/run/secrets/datajoint")
VARIABLES: Mapping[Key, str] = {
    "host": "DJ_HOST",
    "port": "DJ_PORT",
    "user": "DJ_USER",
    "password": "DJ_PASS",
    "use_tls": "DJ_USE_TLS",
    "backend": "DJ_BACKEND",
}
IGNORE = "DJ_IGNORE_CONFIG_FILE"
_SECRET: tuple[Key, ...] = ("user", "password")  # those of the server that DataJoint reads from `.secrets`
_TRUE, _FALSE = (
    frozenset({"1", "true", "t", "yes", "y", "on"}),
    frozenset({"0", "false", "f", "no", "n", "off"}),
)
_MOST_BYTES = 1_000_000


class ConfigFault(Exception):
    """DataJoint's configuration cannot be used; `hint` is the next step."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the configuration, and where it is from: a variable or a file."""

    value: str = field(repr=False)
    origin: str

    @property
    def is_variable(self) -> bool:
        """Whether it is from the environment."""
        return self.origin in VARIABLES.values()


def settings_of(
    environ: Mapping[str, str], folder: Path, *, with_files: bool = True, with_password: bool = True
) -> dict[Key, Setting]:
    """Return what DataJoint's configuration says of its server, seen from a folder; unset keys are left out.

    The environment comes first, then `datajoint.json` of the folder or the nearest one above it within the
    project, then `.secrets`. `with_files=False` takes the environment alone. Raises ConfigFault.
    """
    found = {
        key: Setting(environ[name], name)
        for key, name in VARIABLES.items()
        if environ.get(name) and (with_password or key != "password")
    }
    if with_files and not (environ.get(IGNORE) and _switch(environ[IGNORE], IGNORE)):
        config = _config_file(folder)
        for key, setting in (*_in_config(config), *_in_secrets(config, with_password)):
            if with_password or key != "password":
                found.setdefault(key, setting)
    if (backend := found.pop("backend", None)) is not None and backend.value != "mysql":
        raise ConfigFault(
            f"{backend.origin}: DataJoint's backend is not `mysql`", "djlink works with MySQL and MariaDB"
        )
    return found


def is_encrypted(use_tls: Setting) -> bool:
    """Return whether the connection is encrypted. Raises ConfigFault for a value that does not say so."""
    return _switch(use_tls.value, use_tls.origin)


def _switch(text: str, origin: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise ConfigFault(
            f"{origin}: the value is neither true nor false", f"write true or false in {origin}"
        )
    return text.lower() in _TRUE


def _config_file(folder: Path) -> Path | None:
    """Return the configuration's file: in the folder or above it, up to the top of a repository."""
    for each in (folder, *folder.parents):
        if (each / CONFIG).is_file():
            return each / CONFIG
        if (each / ".git").exists() or (each / ".hg").exists():
            return None
    return None


def _in_config(path: Path | None) -> Iterator[tuple[Key, Setting]]:
    if path is None:
        return
    hint = f"correct {path}, or write the keys of `local` into the manifest"
    try:
        values = json.loads(_read(path, hint))
    except (ValueError, RecursionError) as error:
        line = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigFault(f"{path} is not valid JSON{line}", hint) from None
    if not isinstance(values, dict):
        raise ConfigFault(f"{path} is not a JSON object", hint)
    latest: dict[str, object] = {}
    for key, value in values.items():  # nested or with dots; what comes later wins
        if key == "database" and isinstance(value, dict):
            latest.update({str(name): each for name, each in value.items()})
        elif key.startswith("database."):
            latest[key.removeprefix("database.")] = value
    for name in get_args(Key):
        value = latest.get(name)
        if value is None:
            continue
        if isinstance(value, bool) and name == "use_tls":
            value = str(value).lower()
        if isinstance(value, bool) or not isinstance(value, str | (int if name == "port" else str)):
            raise ConfigFault(f"{path}: `database.{name}` is not what DataJoint takes there", hint)
        if str(value):
            yield name, Setting(str(value), str(path))


def _in_secrets(config: Path | None, with_password: bool) -> Iterator[tuple[Key, Setting]]:
    beside = config.parent / SECRETS if config is not None else None
    folder = beside if beside is not None and beside.is_dir() else SYSTEM_SECRETS
    for key in _SECRET if with_password else _SECRET[:1]:
        path = folder / f"database.{key}"
        if path.is_file():
            text = _read(path, f"make {path} readable for you, or set {VARIABLES[key]}").strip()
            if text:
                yield key, Setting(text, str(path))


def _read(path: Path, hint: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ConfigFault(f"{path} is larger than {_MOST_BYTES // 1_000_000} MB", hint)
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigFault(f"{path} cannot be read: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise ConfigFault(f"{path} is not UTF-8 text", hint) from None
