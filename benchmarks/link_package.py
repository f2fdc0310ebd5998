"""datajoint-link 0.11, the one tool made for this, as a peer, and djlink's Python API beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.ground import DUMPED, HELPERS, LOCAL, OUTBOUND, SCHEMA, BenchmarkFailed, Ground, Use, process

ENVIRONMENT = Path("build/benchmarks/peer-venv")
# pymysql 1.2 does not connect with datajoint 0.14; cryptography is for MySQL's passwords
NEEDED = ("datajoint-link==0.11", "datajoint==0.14.4", "pymysql==1.1.1", "cryptography", "setuptools<81")


def environment() -> Path:
    """The Python of the environment, which is made where it is missing or was not finished."""
    python, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(NEEDED):
        print(f"Making {ENVIRONMENT} with datajoint-link 0.11, once.", flush=True)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
            [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", *NEEDED],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BenchmarkFailed(f"{ENVIRONMENT} cannot be made: {done.stderr[-2000:]}")
        stamp.write_text("\n".join(NEEDED))
    return python.absolute()


def pull(catalogs: Ground, table: str) -> Use:
    """A pull of the table with datajoint-link; the seconds of its `pull()` alone, not those of its start."""
    for server, schema in ((catalogs.local, DUMPED), (catalogs.source, HELPERS)):
        server.execute(f"DROP DATABASE IF EXISTS {schema}")
        server.execute(f"CREATE DATABASE {schema}")
    script = Path(__file__).with_name("link_script.py")
    os.environ.update(LINK_USER="root", LINK_PASS=catalogs.source.root_password)
    arguments = [str(catalogs.source.port), SCHEMA, HELPERS, table.capitalize()]
    arguments += [str(catalogs.local.port), DUMPED, catalogs.local.root_password]
    use = process([str(environment()), str(script), *arguments], catalogs.folder)
    if catalogs.count(DUMPED, table) != catalogs.count(SCHEMA, table, at_source=True):
        raise BenchmarkFailed("datajoint-link left rows behind")
    return _told(catalogs, use)


def pull_by_djlink(catalogs: Ground, table: str) -> Use:
    """The same by djlink's Python API, of which too the seconds of `pull()` alone count."""
    catalogs.forget()
    script = Path(__file__).with_name("api_script.py")
    arguments = [
        str(catalogs.source.port),
        SCHEMA,
        OUTBOUND,
        table.capitalize(),
        str(catalogs.local.port),
        LOCAL,
    ]
    use = process([sys.executable, str(script), *arguments], catalogs.folder)
    if catalogs.count(LOCAL, table) != catalogs.count(SCHEMA, table, at_source=True):
        raise BenchmarkFailed("djlink left rows behind")
    return _told(catalogs, use)


def _told(catalogs: Ground, use: Use) -> Use:
    """The seconds that the script told, with the memory of its process."""
    told = re.search(r"^seconds ([0-9.]+)$", (catalogs.folder / "command.log").read_text(), re.MULTILINE)
    if told is None:
        raise BenchmarkFailed("the script did not say how long its pull took")
    return Use(float(told[1]), use.megabytes)
