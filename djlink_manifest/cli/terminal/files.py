"""Read and replace files."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from djlink_manifest.errors import UsageError
from djlink_manifest.manifest.text.checkout import leads_out


def read_text(path: Path) -> str:
    """Return the text of a file with its own line ends. Raises UsageError if it is not UTF-8."""
    try:
        # newline="" keeps the line ends of the file
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from None


def new_file(path: Path, text: str) -> None:
    """Write a file that does not exist yet, for its owner alone to change; no link is followed.

    Raises UsageError where there is one, or where it cannot be written.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            os.fchmod(number, 0o644)  # whatever the umask is
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} already exists", hint="choose another file, or remove it first") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def check_not_led_out(path: Path) -> None:
    """Raise UsageError where a symbolic link leads out of the file's folder: a checkout may hold any link."""
    real = leads_out(path)
    if real is not None:
        raise UsageError(
            f"{path} is a symbolic link to {real}, out of its folder, which is not written to",
            hint="name the file itself, if it is yours",
        )


def replace_file(path: Path, text: str) -> None:
    """Replace a file with the text atomically; the file's mode is kept.

    Links are followed, but not out of the file's folder.
    """
    check_not_led_out(path)
    target = path.resolve()
    write_atomically(target, text, target.stat().st_mode & 0o7777 if target.exists() else 0o644, str(path))


def write_atomically(target: Path, text: str, mode: int, name: str) -> None:
    """Write a file that is there whole or not at all, under a name that nobody can foresee until then.

    Only its owner reads it before it has its `mode`. Raises UsageError, in which the file is called `name`.
    """
    transient = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        number = os.open(transient, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(number)  # else a machine that stops may leave an empty file under the name
            os.fchmod(number, mode)
        transient.replace(target)
    except OSError as error:
        with suppress(OSError):
            transient.unlink(missing_ok=True)
        raise UsageError(f"{name} cannot be written: {error.strerror}") from None


def same_path(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one place, whether or not there is a file."""
    return os.path.realpath(one) == os.path.realpath(other)
