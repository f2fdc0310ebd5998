"""Write docs/fidelity.md anew."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.fidelity.page import PATH, SHOWN, outcomes, page
from tests.support.rig import Rig
from tests.support.servers import new_names, shared_servers, stop_shared_servers


def main() -> None:
    """Start servers, link everything on each pair, and write the page."""
    found = {}
    servers = Path(tempfile.mkdtemp(prefix="djlink-fidelity-"))
    try:
        for pair in SHOWN:
            with tempfile.TemporaryDirectory() as folder:
                rig = Rig(shared_servers(servers, os.getpid(), pair), new_names(), Path(folder))
                found[pair] = outcomes(rig)
    finally:
        stop_shared_servers(servers)
    PATH.write_text(page(found), encoding="utf-8")
    sys.stdout.write(f"{PATH.name}: {sum(map(len, found.values()))} outcomes on {len(SHOWN)} pairs\n")


if __name__ == "__main__":
    main()
