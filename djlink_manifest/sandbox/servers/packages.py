"""A server unpacked from Debian's or Ubuntu's packages into the cache: no root, nothing installed.

The packages come through apt, which checks their signatures, with the libraries that the server needs, the
dynamic linker and the C library included, so that it runs beside whatever the system has. Debian carries
MySQL in unstable only, and each MariaDB in one release.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from djlink_manifest.errors import SandboxError
from djlink_manifest.sandbox.servers.cache import built_once

KEYRINGS = {
    "Debian": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "Ubuntu": "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
}
MIRRORS = {"Debian": "http://deb.debian.org/debian", "Ubuntu": "http://archive.ubuntu.com/ubuntu"}
# What can be unpacked: servers, MariaDB's client for benchmarks, and a browser for tests of pages.
Unpackable = Literal["mysql", "mariadb", "mariadb-11.8", "mariadb-client", "chromium"]
# Patterns of package names: Ubuntu adds the version to MySQL's.
PACKAGES: dict[Unpackable, tuple[str, ...]] = {
    "mysql": (r"mysql-server-core(-\d+\.\d+)?", r"mysql-client-core(-\d+\.\d+)?"),
    "mariadb": (r"mariadb-server-core",),
    "mariadb-11.8": (r"mariadb-server-core",),
    "mariadb-client": (r"mariadb-client",),
    "chromium": (r"chromium-headless-shell", r"fonts-dejavu-core"),
}
PROGRAMS: dict[Unpackable, tuple[str, ...]] = {
    "mysql": ("mysqld", "mysql", "mysqldump"),
    "mariadb": ("mariadbd",),
    "mariadb-11.8": ("mariadbd",),
    "mariadb-client": ("mariadb-dump",),
}
# the release of Debian that has the version; MariaDB 10.11 is that of bookworm
DEBIAN_RELEASES: dict[Unpackable, str] = {
    "mysql": "sid",
    "mariadb": "bookworm",
    "mariadb-11.8": "trixie",
    "chromium": "bookworm",
}
# taken from Debian on Ubuntu too, of which not each release has it
DEBIAN_ALONE: frozenset[Unpackable] = frozenset({"mariadb-11.8", "chromium"})


@dataclass(frozen=True, slots=True)
class Archive:
    """Where packages come from; `mirror` is the one that this machine uses."""

    distribution: str
    mirror: str
    release: str
    architecture: str


def unpacked(kind: Unpackable, report: Callable[[str], None]) -> Path:
    """The launcher of a server from this system's package archive, unpacked on the first call.

    Beside MySQL's server lie launchers of its client and its dump program; none of them reads an option file.
    Raises SandboxError where the system is neither Debian nor Ubuntu or the packages cannot be had.
    """

    def finish(folder: Path) -> None:
        for program in PROGRAMS[kind]:
            _write_launcher(folder, program)

    return unpacked_root(kind, report, finish) / PROGRAMS[kind][0]


def unpacked_root(kind: Unpackable, report: Callable[[str], None], finish: Callable[[Path], None]) -> Path:
    """The folder in the cache with the files of packages below `root`; `finish` gets it once, when it is new.

    Raises SandboxError where the packages cannot be had.
    """
    archive = _archive(kind)
    name = f"{kind}-{archive.distribution}-{archive.release}-{archive.architecture}".lower()

    def build(folder: Path) -> None:
        source = f"{archive.distribution} {archive.release}"
        report(f"Unpacking {kind} from the packages of {source}, once.")
        _download(kind, archive, folder / "apt")
        for package in sorted((folder / "apt" / "packages").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(folder / "root")])
        shutil.rmtree(folder / "apt")
        for unneeded in ("doc", "man", "locale", "perl"):
            shutil.rmtree(folder / "root" / "usr" / "share" / unneeded, ignore_errors=True)
        finish(folder)

    return built_once(name, build)


def _archive(kind: Unpackable) -> Archive:
    """The archive to take `kind` from, by the mirror that apt on this machine is configured with."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SandboxError("apt-get and dpkg-deb are not installed")
    system = platform.freedesktop_os_release()
    names = {system.get("ID"), *system.get("ID_LIKE", "").split()}
    own = "Ubuntu" if "ubuntu" in names else "Debian"
    release = system.get(f"{own.upper()}_CODENAME") or system.get("VERSION_CODENAME", "sid")
    distribution = "Debian" if kind in DEBIAN_ALONE else own
    if not Path(KEYRINGS[distribution]).exists():
        raise SandboxError(
            f"{KEYRINGS[distribution]} does not exist, so packages cannot be verified",
            hint=f"install it: apt install {Path(KEYRINGS[distribution]).stem}",
        )
    return Archive(
        distribution=distribution,
        mirror=(_mirror(release) if distribution == own else None) or MIRRORS[distribution],
        release=DEBIAN_RELEASES.get(kind, release) if distribution == "Debian" else release,
        architecture=_run(["dpkg", "--print-architecture"]).strip(),
    )


def _mirror(release: str) -> str | None:
    """The configured mirror of the distribution itself; None where apt names none for this release.

    Others publish packages for the release too, but only the distribution its updates beside it, hence the
    one with the most suites. apt's index of labels would say it outright, but fresh images come without.
    """
    listed = _run(["apt-get", "-o", "Debug::NoLocking=true", "--print-uris", "update"])
    suites = re.findall(rf"'([^']+)/dists/{release}(?:-[a-z]+)?/InRelease'", listed)
    return max(suites, key=suites.count, default=None)


def _download(kind: Unpackable, archive: Archive, folder: Path) -> None:
    """Fetch the server's packages and all they depend on into `folder`/packages."""
    for part in ("lists/partial", "cache", "packages/partial", "parts", "preferences"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    releases = [archive.release]
    if archive.distribution == "Ubuntu":
        releases += [f"{archive.release}-updates", f"{archive.release}-security"]
    signed = f"[arch={archive.architecture} signed-by={KEYRINGS[archive.distribution]}]"
    sections = "main universe" if archive.distribution == "Ubuntu" else "main"
    sources = [f"deb {signed} {archive.mirror} {release} {sections}\n" for release in releases]
    (folder / "sources.list").write_text("".join(sources))
    (folder / "apt.conf").write_text(_configuration(archive, folder))
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
    _run(["apt-get", "-qq", "update"], environment)
    known = _run(["apt-cache", "pkgnames"], environment).split()
    wanted = [_newest(known, pattern) for pattern in PACKAGES[kind]]
    _run(
        ["apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "install", *wanted],
        environment,
    )


def _configuration(archive: Archive, folder: Path) -> str:
    """An apt configuration that touches nothing but `folder`.

    The system's own files are left out, for their hooks expect root; what they say of the network is kept.
    """
    network = [line for line in _run(["apt-config", "dump"]).splitlines() if line.startswith("Acquire::")]
    own = {
        "Dir::Etc::main": "parts/none",
        "Dir::Etc::parts": "parts",
        "Dir::Etc::sourcelist": "sources.list",
        "Dir::Etc::sourceparts": "parts",
        "Dir::Etc::preferences": "preferences/none",
        "Dir::Etc::preferencesparts": "preferences",
        "Dir::State::Lists": "lists",
        "Dir::State::status": "status",
        "Dir::State::extended_states": "extended_states",
        "Dir::Cache": "cache",
        "Dir::Cache::archives": "packages",
        "Dir::Log": "cache",
    }
    settings = [f'{key} "{folder / value}";' for key, value in own.items()]
    settings += [
        f'APT::Architecture "{archive.architecture}";',
        f'APT::Architectures {{ "{archive.architecture}"; }};',
        'APT::Sandbox::User "root";',
        'Debug::NoLocking "true";',
    ]
    return "\n".join(network + settings) + "\n"


def _newest(known: Sequence[str], pattern: str) -> str:
    """The package whose name meets `pattern`, of the highest version where the names carry one."""
    found = [name for name in known if re.fullmatch(pattern, name)]
    if not found:
        raise SandboxError(f"the archive has no package that matches {pattern}")
    return max(found, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])


def _write_launcher(folder: Path, program: str) -> None:
    """A script `folder`/`program` that runs the unpacked program with the unpacked libraries.

    It finds them from its own place, so the folder may be moved.
    """
    root = folder / "root"
    linkers = sorted(
        path for pattern in ("lib*", "usr/lib*") for path in root.glob(f"{pattern}/ld-linux*.so.*")
    )
    programs = [path for path in (root / "usr/sbin" / program, root / "usr/bin" / program) if path.exists()]
    if not linkers or not programs:
        raise SandboxError(f"the packages contain no {program}, or no dynamic linker to run it")
    places = [
        *root.glob("lib/*-linux-gnu*"),
        *root.glob("usr/lib/*-linux-gnu*"),
        root / "usr/lib/mysql/private",
    ]
    libraries = ":".join(f"$root/{place.relative_to(root)}" for place in places if place.is_dir())
    if program in {"mysqld", "mariadbd"}:
        # After the caller's own, of which --no-defaults has to be the first.
        options = (
            '"$@" "--basedir=$root/usr" "--lc-messages-dir=$root/usr/share/mysql" '
            '"--plugin-dir=$root/usr/lib/mysql/plugin"'
        )
    else:
        options = '--no-defaults "$@"'
    launcher = folder / program
    launcher.write_text(
        "#!/bin/sh\n"
        'root=$(cd "$(dirname "$0")" && pwd)/root\n'
        f'exec "$root/{linkers[0].relative_to(root)}" --library-path "{libraries}" '
        f'"$root/{programs[0].relative_to(root)}" {options}\n'
    )
    launcher.chmod(0o755)


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What the command prints; SandboxError with the end of what it says where it fails."""
    result = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = " | ".join((result.stderr or result.stdout).strip().splitlines()[-3:])
        raise SandboxError(f"`{shlex.join(command)}` failed: {said}")
    return result.stdout
