"""`python -m djlink_manifest.sandbox` makes throwaway servers ready to start, and says what takes long.

Of MySQL, or of the kinds named: `python -m djlink_manifest.sandbox mysql mariadb mariadb-11.8`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import get_args

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers.binaries import Kind, find_server
from djlink_manifest.sandbox.servers.template import datadir_template

KINDS: tuple[Kind, ...] = get_args(Kind)


def say(message: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(message + "\n")


def main(words: Sequence[str]) -> int:
    """Find or unpack a server of each kind and prepare its data directory; the exit code."""
    kinds = [kind for kind in KINDS if kind in (words or ["mysql"])]
    if set(words) - set(kinds):
        say(f"Error: the kinds of servers are {', '.join(KINDS)}")
        return 1
    try:
        for kind in kinds:
            datadir_template(find_server(kind, say), say)
    except SandboxError as error:
        say(f"Error: {error.message}")
        if error.hint:
            say(f"Next: {error.hint}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
