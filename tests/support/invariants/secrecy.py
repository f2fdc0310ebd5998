"""No secret in anything that is printed: what the tests print, and what the commands that they run print."""

from __future__ import annotations

import base64
import subprocess
from typing import Any
from urllib.parse import quote

from tests.support.rig import PASSWORD

# the test accounts' own, and others that tests give to commands
SECRETS = {PASSWORD, "wrong-secret-77", "s3cr3t'\"%s{x}`\\é€"}


def spellings(secret: str) -> set[str]:
    """The secret as it stands, and as it looks in the usual disguises."""
    raw = secret.encode()
    return {
        secret,
        repr(secret)[1:-1],
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        quote(secret, safe=""),
        secret.encode("unicode_escape").decode(),
    }


def found(text: str | bytes | None) -> set[str]:
    """The secrets that stand in a text."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return {secret for secret in SECRETS if text and any(each in text for each in spellings(secret))}


def watch_commands() -> None:
    """From now on every command that a test runs to its end fails it where it prints a secret."""
    communicate = subprocess.Popen.communicate

    def searched(process: Any, *args: Any, **options: Any) -> Any:
        printed = communicate(process, *args, **options)
        for text in printed:
            assert not found(text), f"a command printed a secret: {process.args}"
        return printed

    subprocess.Popen.communicate = searched  # type: ignore[assignment,method-assign]
