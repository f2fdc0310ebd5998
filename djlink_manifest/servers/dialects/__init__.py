"""What differs between vendors, one module each; so far MySQL alone."""

from __future__ import annotations

import re

from djlink_manifest.errors import Unreachable
from djlink_manifest.model.catalog import Version
from djlink_manifest.servers.dialects import mysql


def version_of(text: str) -> Version:
    """The version from `SELECT VERSION()`: `9.7.4-2`, `10.11.6-MariaDB-log`."""
    vendor = "mariadb" if "mariadb" in text.lower() else "mysql"
    digits = re.match(r"\d+(?:\.\d+)*", text)
    plain = digits.group() if digits else text
    return Version(vendor, plain, tuple(int(n) for n in plain.split(".")) if digits else ())


def check_supported(version: Version, server: str) -> None:
    """Raise Unreachable for a server that this version of djlink does not know."""
    if version.vendor != "mysql" or version.numbers < mysql.OLDEST:
        oldest = ".".join(str(n) for n in mysql.OLDEST)
        raise Unreachable(
            f"the server is {version.vendor} {version.text}, which djlink does not support yet",
            server=server,
            hint=f"use MySQL {oldest} or later",
        )
