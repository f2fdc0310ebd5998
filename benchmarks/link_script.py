"""A pull by datajoint-link 0.11, run by the Python of an environment of its own; prints seconds of the pull.

Arguments: port of the source, its schema, the helper's schema, the table's class; port and schema of the
local server, the password of root there. LINK_USER and LINK_PASS are those of the source.
"""

from __future__ import annotations

import sys
import time
from typing import Any


def main(
    port: str, schema: str, outbound: str, name: str, to_port: str, to_schema: str, password: str
) -> None:
    """Link the table and pull it."""
    import datajoint as dj  # type: ignore[import-untyped,unused-ignore]  # another version, in another place
    from link import link  # type: ignore[import-not-found]  # there alone

    # its driver announces TLS even to a server that said it has none, which that server takes for nonsense
    connect = dj.connection.client.connect
    dj.connection.client.connect = lambda **said: connect(
        **{name: value for name, value in said.items() if name != "ssl"}, ssl_disabled=True
    )
    configuration: Any = dj.config
    configuration["database.host"] = "127.0.0.1"
    configuration["database.port"] = int(to_port)
    configuration["database.user"] = "root"
    configuration["database.password"] = password
    configuration["safemode"] = False
    linked = link(f"127.0.0.1:{port}", schema, outbound, f"{name}Helper", to_schema)(type(name, (), {}))
    started = time.monotonic()
    linked().source.pull()
    print(f"seconds {time.monotonic() - started:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
