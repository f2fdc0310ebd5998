"""The folder that the demo writes: its manifest, and the ports and credentials that it made up.

Nothing that the demo did not write itself is ever overwritten or removed.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from djlink_manifest.errors import SandboxError

SHIPPED = "demo.yaml"
MANIFEST = "djlink.yaml"
ENVIRONMENT = "demo.env"
AUTHORITY = "princeton-ca.pem"
APPROVALS = "approvals.yaml"
MARK = "# Written by `djlink demo`."


def shipped_manifest() -> str:
    """The demo's manifest; the same text stands in `examples/demo.yaml`."""
    return files("djlink_manifest.sandbox").joinpath(SHIPPED).read_text(encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Raise SandboxError where the demo's files cannot be written without touching what is somebody's."""
    if folder.exists() and not folder.is_dir():
        raise SandboxError(f"{folder} is not a folder", hint="choose another folder for the demo")
    for name in (MANIFEST, ENVIRONMENT, AUTHORITY, APPROVALS):
        path = folder / name
        if (path.exists() or path.is_symlink()) and not _is_from_demo(path):
            raise SandboxError(
                f"{path} already exists and was not written by the demo",
                hint="move it away, or choose another folder for the demo",
            )


def write_folder(folder: Path, environment: Mapping[str, str], authority: str) -> None:
    """Write manifest, environment and the source's authority (PEM); others cannot read the environment."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    # djlink may be installed where the person's shell does not look.
    exports += f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
    _write(folder / MANIFEST, shipped_manifest(), 0o644)
    _write(folder / ENVIRONMENT, f"{MARK} For a shell: . ./{ENVIRONMENT}\n{exports}", 0o600)
    _write(folder / AUTHORITY, f"{MARK}\n{authority}", 0o644)
    _write(folder / APPROVALS, f"{MARK}\n", 0o644)


def remove_credentials(folder: Path) -> None:
    """Remove what is of no use once the servers are gone; the manifest stays."""
    for name in (ENVIRONMENT, AUTHORITY, APPROVALS):
        if (folder / name).exists() and _is_from_demo(folder / name):
            (folder / name).unlink()


def _is_from_demo(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return text == shipped_manifest() if path.name == MANIFEST else text.startswith(MARK)


def _write(path: Path, text: str, mode: int) -> None:
    path.unlink(missing_ok=True)
    # Made anew with its rights from the start: there is no moment at which others could read it.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
