"""`python -m djlink_manifest.sandbox` makes a throwaway server ready to start, and says what takes long."""

from __future__ import annotations

import sys

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.binaries import find_server
from djlink_manifest.sandbox.template import datadir_template


def say(message: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(message + "\n")


def main() -> int:
    """Find or unpack a server and prepare its data directory; the exit code."""
    try:
        datadir_template(find_server(tell=say), say)
    except SandboxError as error:
        say(f"Error: {error.message}")
        if error.hint:
            say(f"Next: {error.hint}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
