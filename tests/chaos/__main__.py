"""`python -m tests.chaos`: 200 kills and 50 cuts, on servers of its own; `--unwanted N`: N trials, instead.

DJLINK_SEED chooses what happens, as far as threads and servers leave it to a seed.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from djlink_manifest.sandbox import ServerOptions, running_servers
from djlink_manifest.sandbox.servers.binaries import Vendor
from djlink_manifest.sandbox.servers.start import FOLDER_VARIABLE
from tests.chaos.lab import OPTIONS, Lab
from tests.chaos.report import report, trials_report
from tests.chaos.run import Chaos, Wanted
from tests.chaos.unwanted import Trials
from tests.support.servers import MEMORY, has_room_in_memory

VENDORS: tuple[Vendor, ...] = ("mysql", "mariadb")


def main() -> int:
    """Run; 1 where something was found that must not be."""
    words = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    words.add_argument("--kills", type=int, default=200, help="djlink processes killed (default 200)")
    words.add_argument("--cuts", type=int, default=50, help="connections cut (default 50)")
    words.add_argument(
        "--server-kills", type=int, default=10, help="servers killed and restarted (default 10)"
    )
    words.add_argument("--local", choices=VENDORS, default="mysql", help="vendor of the local server")
    words.add_argument("--unwanted", type=int, metavar="N", help="N trials of what stays unwanted, instead")
    words.add_argument("--north", choices=VENDORS, default="mysql", help="vendor of the source of the trials")
    words.add_argument("--most", default="100%", help="`max_deletions` of the trials (default 100%%)")
    given = words.parse_args()
    seed = os.environ.get("DJLINK_SEED") or str(random.SystemRandom().randrange(1 << 30))
    started = time.monotonic()

    def tell(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:6.0f} s  {line}\n")

    if has_room_in_memory():
        os.environ.setdefault(FOLDER_VARIABLE, str(MEMORY))
    run = _trials if given.unwanted else _chaos
    text, faults = run(given, seed, tell)
    sys.stdout.write(f"{text}\nfaults: {len(faults)} in {time.monotonic() - started:,.0f} s\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in dict.fromkeys(faults[:30]))
    return 1 if faults else 0


def _chaos(given: argparse.Namespace, seed: str, tell: Callable[[str], None]) -> tuple[str, list[str]]:
    tell(f"DJLINK_SEED={seed}: north is MySQL, south is MariaDB, the local server is {given.local}")
    vendors: dict[str, Vendor] = {"north": "mysql", "south": "mariadb", "local": given.local}
    with (
        running_servers({name: ServerOptions(vendor) for name, vendor in vendors.items()}) as servers,
        tempfile.TemporaryDirectory(prefix="djlink-chaos-") as folder,
    ):
        lab = Lab(servers, Path(folder), f"c{secrets.token_hex(3)}_")
        chaos = Chaos(lab, seed, Wanted(given.kills, given.cuts, given.server_kills), tell)
        try:
            chaos.run()
        except KeyboardInterrupt:
            chaos.faults.append("interrupted: this is what was done until then")
        return report(chaos), chaos.faults


def _trials(given: argparse.Namespace, seed: str, tell: Callable[[str], None]) -> tuple[str, list[str]]:
    tell(f"DJLINK_SEED={seed}: the source is {given.north}, the local server is {given.local}")
    vendors: dict[str, Vendor] = {"north": given.north, "local": given.local}
    options = {"north": {**OPTIONS["north"], "max_deletions": given.most}}
    with (
        running_servers({name: ServerOptions(vendor) for name, vendor in vendors.items()}) as servers,
        tempfile.TemporaryDirectory(prefix="djlink-chaos-") as folder,
    ):
        lab = Lab(servers, Path(folder), f"c{secrets.token_hex(3)}_", options, special={})
        trials = Trials(lab, seed, tell)
        trials.run(given.unwanted)
        return trials_report(trials), trials.faults


if __name__ == "__main__":
    sys.exit(main())
