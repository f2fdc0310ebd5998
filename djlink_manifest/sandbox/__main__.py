"""`python -m djlink_manifest.sandbox` makes throwaway servers ready to start, and says what takes long.

Of MySQL, or of the vendors named: `python -m djlink_manifest.sandbox mysql mariadb`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers.binaries import Vendor, find_server
from djlink_manifest.sandbox.servers.template import datadir_template

VENDORS: tuple[Vendor, ...] = ("mysql", "mariadb")


def say(message: str) -> None:
    """Tell the person who waits."""
    sys.stderr.write(message + "\n")


def main(words: Sequence[str]) -> int:
    """Find or unpack a server of each vendor and prepare its data directory; the exit code."""
    vendors = [vendor for vendor in VENDORS if vendor in (words or ["mysql"])]
    if set(words) - set(vendors):
        say(f"Error: the vendors are {', '.join(VENDORS)}")
        return 1
    try:
        for vendor in vendors:
            datadir_template(find_server(vendor, say), say)
    except SandboxError as error:
        say(f"Error: {error.message}")
        if error.hint:
            say(f"Next: {error.hint}")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
