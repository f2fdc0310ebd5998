"""An empty data directory per server version, made once and copied for each throwaway server."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers import launch
from djlink_manifest.sandbox.servers.binaries import ServerBinary, Tell, silent
from djlink_manifest.sandbox.servers.cache import built_once

# Raised when the way a template is made changes, so that an old one is not taken.
FORMAT = 1
MARIADB_SCRIPTS = (
    "*_system_tables.sql",
    "*_performance_tables.sql",
    "*_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "*_sys_schema.sql",
)


def datadir_template(binary: ServerBinary, report: Tell = silent) -> Path:
    """The data directory to copy: root has no password and may log in from this machine only.

    Raises SandboxError with the end of what the server said where it cannot make one.
    """
    mark = hashlib.sha256(f"{FORMAT} {binary.program}".encode()).hexdigest()[:8]

    def build(folder: Path) -> None:
        report(f"Preparing an empty data directory of {binary.vendor} {binary.version}, once.")
        if binary.vendor == "mysql":
            _initialise_mysql(binary, folder)
        else:
            _initialise_mariadb(binary, folder)

    return built_once(f"datadir-{binary.vendor}-{binary.version}-{mark}", build) / "data"


def copy_template(template: Path, data: Path) -> None:
    """Copy a template; each copy finds an identity of its own (server_uuid) at its first start."""
    shutil.copytree(template, data, ignore=shutil.ignore_patterns("auto.cnf"))


def _initialise_mysql(binary: ServerBinary, folder: Path) -> None:
    options = ["--initialize-insecure", "--innodb-redo-log-capacity=16M"]
    if binary.version.startswith("8.0."):
        options.pop()  # Known from 8.0.30 on.
    _run(launch.command(binary, folder, folder / "data", options))


def _initialise_mariadb(binary: ServerBinary, folder: Path) -> None:
    """What mariadb-install-db does, without its need for an installed server's layout."""
    said = _run([binary.program, "--no-defaults", "--verbose", "--help"])
    places = dict(re.findall(r"^(basedir|lc-messages-dir)\s+(\S+)", said, re.MULTILINE))
    base = Path(places.get("basedir", "/usr"))
    shares = [Path(places.get("lc-messages-dir") or base), base / "share/mysql", base / "share/mariadb"]
    share = next((place for place in shares if list(place.glob(MARIADB_SCRIPTS[0]))), None)
    if share is None:
        raise SandboxError(f"MariaDB's scripts for the system tables do not exist below {base}")
    scripts = [path for pattern in MARIADB_SCRIPTS for path in sorted(share.glob(pattern))]
    statements = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
    statements += "".join(path.read_text() + "\n" for path in scripts)
    (folder / "data").mkdir()
    _run(launch.command(binary, folder, folder / "data", ["--bootstrap"]), statements)


def _run(command: list[str], text: str = "") -> str:
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-15:])
        raise SandboxError(f"no data directory could be created with {command[0]}:\n{said}")
    return result.stdout
