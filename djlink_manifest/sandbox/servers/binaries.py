"""Finding a database server to throw away: installed, unpacked from packages, or in a container."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers import docker, packages
from djlink_manifest.sandbox.servers.cache import built_once

Vendor = Literal["mysql", "mariadb"]
# a vendor's server of any version that djlink supports, or of one version
Kind = Literal["mysql", "mariadb", "mariadb-11.8"]
Tell = Callable[[str], None]

MYSQLD_VARIABLE = "DJLINK_SANDBOX_MYSQLD"
OLDEST_MYSQL = 8
PROGRAMS: dict[Vendor, tuple[str, ...]] = {"mysql": ("mysqld",), "mariadb": ("mariadbd", "mysqld")}
# Servers are often installed outside a plain user's PATH.
MORE_FOLDERS = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/usr/local/mysql/bin",
    "/opt/homebrew/opt/mysql/bin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mysql/bin",
)
INSTALL: dict[Vendor, str] = {
    "mysql": "install a MySQL server (Debian: apt-get and dpkg-deb are sufficient; Ubuntu: apt install "
    "mysql-server-core-8.0; Fedora: dnf install community-mysql-server; macOS: brew install mysql), or start "
    f"Docker, or set {MYSQLD_VARIABLE} to the path of mysqld",
    "mariadb": "install a MariaDB server (Debian, Ubuntu: apt install mariadb-server-core; Fedora: dnf "
    "install mariadb-server; macOS: brew install mariadb)",
}


def vendor_of(kind: Kind) -> Vendor:
    """The vendor of a kind of server."""
    return "mysql" if kind == "mysql" else "mariadb"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server that can be started.

    `program` is the path of its executable, or the name of a Docker image where `container` is true;
    `version` holds numbers alone, such as `8.4.6`.
    """

    vendor: Vendor
    version: str
    program: str
    container: bool = False


def silent(message: str) -> None:
    """Tell nobody."""


@functools.cache
def find_server(kind: Kind = "mysql", report: Tell = silent) -> ServerBinary:
    """The server to start: what is named by the environment, else installed, else unpacked, else in Docker.

    `report` hears of what takes long. Raises SandboxError with what to install where nothing is found.
    """
    named = os.environ.get(MYSQLD_VARIABLE) if kind == "mysql" else None
    if named:
        return _named_server(named)
    installed = _installed_server(kind)
    if installed:
        return installed
    reasons = []
    for what, find in (("packages", _unpacked_server), ("Docker", _container_server)):
        try:
            return find(kind, report)
        except SandboxError as error:
            reasons.append(f"{what}: {error.message}")
    raise SandboxError(
        f"no {kind} server is installed, and none can be downloaded or run in a container\n  "
        + "\n  ".join(reasons),
        hint=INSTALL[vendor_of(kind)],
    )


def _named_server(path: str) -> ServerBinary:
    binary = _probe(path)
    if binary is None or binary.vendor != "mysql":
        raise SandboxError(
            f"{MYSQLD_VARIABLE} is {path}, which is not a MySQL server of version {OLDEST_MYSQL} or later",
            hint="set it to the path of a working mysqld, or unset the variable",
        )
    return binary


def _installed_server(kind: Kind) -> ServerBinary | None:
    vendor = vendor_of(kind)
    folders = os.pathsep.join((os.environ.get("PATH", os.defpath), *MORE_FOLDERS))
    for program in PROGRAMS[vendor]:
        path = shutil.which(program, path=folders)
        binary = _probe(path) if path else None
        if binary and binary.vendor == vendor and _is_of(kind, binary.version):
            return _outside_apparmor(binary)
    return None


def _is_of(kind: Kind, version: str) -> bool:
    """Whether a server of this version is of the kind: of any version, unless the kind names one."""
    named = kind.partition("-")[2]
    return version.startswith(f"{named}.") if named else True


def _probe(path: str) -> ServerBinary | None:
    """What the executable says it is; None where it does not run or is too old."""
    try:
        answer = subprocess.run(
            [path, "--no-defaults", "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"Ver ((\d+)\.\d+\.\d+)", answer)
    if version is None:
        return None
    if "MariaDB" in answer:
        return ServerBinary("mariadb", version[1], path)
    return ServerBinary("mysql", version[1], path) if int(version[2]) >= OLDEST_MYSQL else None


def _outside_apparmor(binary: ServerBinary) -> ServerBinary:
    """The same server where it may write.

    Ubuntu confines /usr/sbin/mysqld, by its path, to the system's own data directory; a copy is free.
    """
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    profile = Path("/etc/apparmor.d") / binary.program.strip("/").replace("/", ".")
    if not (profile.exists() and enabled.exists() and enabled.read_text().startswith("Y")):
        return binary

    def copy(folder: Path) -> None:
        shutil.copy2(binary.program, folder / "mysqld")

    folder = built_once(f"{binary.vendor}-{binary.version}-copy", copy)
    return ServerBinary(binary.vendor, binary.version, str(folder / "mysqld"))


def _unpacked_server(kind: Kind, report: Tell) -> ServerBinary:
    path = packages.unpacked(kind, report)
    binary = _probe(str(path))
    if binary is None:
        raise SandboxError(
            f"the server unpacked at {path} does not run", hint=f"delete {path.parent} and try again"
        )
    return binary


def _container_server(kind: Kind, report: Tell) -> ServerBinary:
    if kind != "mysql":
        raise SandboxError("only MySQL is run in a container")
    image = docker.pulled_image(report)
    return ServerBinary("mysql", docker.version_in(image), image, container=True)
