"""`python -m tests.chaos`: at least 200 kills and 50 cuts, on servers of its own."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

from djlink_manifest.sandbox import ServerOptions, start_servers
from djlink_manifest.sandbox.servers.start import FOLDER_VARIABLE
from tests.chaos.lab import Lab
from tests.chaos.report import report
from tests.chaos.run import Chaos, Wanted
from tests.support.servers import MEMORY, has_room_in_memory


def main() -> int:
    """Run; 1 where something was found that must not be."""
    words = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    words.add_argument("--kills", type=int, default=200, help="djlink processes killed (default 200)")
    words.add_argument("--cuts", type=int, default=50, help="connections cut (default 50)")
    words.add_argument(
        "--server-kills", type=int, default=10, help="servers killed and restarted (default 10)"
    )
    words.add_argument(
        "--local", choices=("mysql", "mariadb"), default="mysql", help="vendor of the local server"
    )
    given = words.parse_args()
    seed = os.environ.get("DJLINK_SEED") or str(random.SystemRandom().randrange(1 << 30))
    started = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:6.0f} s  {line}\n")

    tell(f"DJLINK_SEED={seed}: north is MySQL, south is MariaDB, the local server is {given.local}")
    if has_room_in_memory():
        os.environ.setdefault(FOLDER_VARIABLE, str(MEMORY))
    vendors = {"north": "mysql", "south": "mariadb", "local": given.local}
    servers = start_servers({name: ServerOptions(vendor) for name, vendor in vendors.items()})
    with tempfile.TemporaryDirectory(prefix="djlink-chaos-") as folder:
        lab = Lab(servers, Path(folder), f"c{secrets.token_hex(3)}_")
        try:
            lab.prepare()
            chaos = Chaos(lab, seed, Wanted(given.kills, given.cuts, given.server_kills), tell)
            chaos.run()
            sys.stdout.write(report(chaos, time.monotonic() - started) + "\n")
            return 1 if chaos.faults else 0
        finally:
            lab.close()
            for server in servers.values():
                server.stop()


if __name__ == "__main__":
    sys.exit(main())
