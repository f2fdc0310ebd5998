"""What an older version of a server lacks of what a newer one has, as far as local tables are concerned."""

from __future__ import annotations

import re
from collections.abc import Mapping

from djlink_manifest.model.server.catalog import Version

_Since = Mapping[str, Mapping[str, tuple[int, ...]]]  # by vendor: the first version that has it
_TYPES: _Since = {
    "mysql": {"vector": (9, 0)},
    "mariadb": {"vector": (11, 7), "xmltype": (12, 3)},
}
_FUNCTIONS: _Since = {
    "mysql": {
        **dict.fromkeys(
            ("string_to_vector", "to_vector", "vector_to_string", "from_vector", "vector_dim"), (9, 0)
        ),
        **dict.fromkeys(("st_frechetdistance", "st_hausdorffdistance"), (8, 0, 23)),
        **dict.fromkeys(
            ("st_lineinterpolatepoint", "st_lineinterpolatepoints", "st_pointatdistance"), (8, 0, 24)
        ),
        "json_value": (8, 0, 21),
    },
    "mariadb": {
        **dict.fromkeys(("uuid_v4", "uuid_v7", "vec_fromtext", "vec_totext"), (11, 7)),
        "json_schema_valid": (11, 1),
        "format_pico_time": (11, 0),
        "format_bytes": (11, 8),
    },
}
_CALLED = re.compile(r"([a-z_][a-z0-9_]*)\s*\(", re.IGNORECASE)
_STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)


def has_type(version: Version, base_type: str) -> bool:
    """Whether a server of its own vendor's type has it already."""
    return version.numbers >= _TYPES.get(version.vendor, {}).get(base_type, ())


def calls_newer(version: Version, expression: str) -> bool:
    """Whether an expression of the same vendor calls a function that this version does not have yet."""
    since = _FUNCTIONS.get(version.vendor, {})
    called = {name.lower() for name in _CALLED.findall(_STRING.sub("''", expression))}
    return any(version.numbers < since.get(name, ()) for name in called)


def since(vendor: str, function: str) -> tuple[int, ...]:
    """The first version of a vendor that has a function; empty where all supported versions have it."""
    return _FUNCTIONS.get(vendor, {}).get(function, ())


def ends_in_2038(version: Version) -> bool:
    """Whether the server's TIMESTAMP has 32 bits: MySQL's, and MariaDB's before 11.5."""
    return version.vendor != "mariadb" or version.numbers < (11, 5)
