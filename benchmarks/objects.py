"""Peak memory of bringing one large object, from folder to folder, to S3 and back.

    python benchmarks/objects.py [--bytes N] [--s3-bytes N]

Each case runs in a process of its own, with DataJoint loaded as in an apply, so that the peak resident memory
is all that such an apply takes beside its rows. S3 is a moto server, a process of its own too; as it reads an
object as a whole for every piece of it, large ones take it very long. Seconds are printed beside it for
orientation.
"""

from __future__ import annotations

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from djlink_manifest.model.external import Transport
from djlink_manifest.model.stores import Store, Stores
from djlink_manifest.servers.stores.depot import Brought, Depot
from djlink_manifest.servers.stores.settings import read_stores

BLOCK = 1 << 20
KEYS = {"access_key": "benchmark", "secret_key": "benchmark"}


def main() -> None:
    """Run every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--s3-bytes", type=int, default=200_000_000)
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, _s3() as endpoint:
        file = {"protocol": "file", "location": folder}
        s3 = {
            "protocol": "s3",
            "endpoint": endpoint,
            "bucket": "bench",
            "location": "x",
            "secure": False,
            **KEYS,
        }
        _make(Path(folder, "large"), sizes.bytes)
        _make(Path(folder, "small"), sizes.s3_bytes)
        for name, case in {
            "file to file": (file, "large", file, "copy"),
            "file to s3": (file, "small", s3, "large"),
            "s3 to file": (s3, "large", file, "copy2"),
        }.items():
            begun = time.monotonic()
            done = subprocess.run(
                [sys.executable, __file__, "--case", json.dumps(case)],
                capture_output=True,
                check=True,
                text=True,
            )
            print(f"{name}: {done.stdout.strip()}, {time.monotonic() - begun:.0f} s")


def bring(source: dict[str, Any], path: str, local: dict[str, Any], goal: str) -> None:
    """Bring one object and print the peak memory."""
    there, here = (
        read_stores({"lab": {"raw": Store("raw", settings)}}).of_source("lab", "raw")
        for settings in (source, local)
    )
    assert isinstance(there, Store)
    assert isinstance(here, Store)
    stores = Stores({"ours": Store("ours", here.settings)}, "ours", {"lab": {"raw": there}})
    brought = list[Brought]()
    with closing(Depot(stores)) as depot:
        refused = depot.bring(
            "lab", [Transport("raw", path, "ours", goal)], "schema", threading.Event(), brought.append
        )
    assert not refused
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{brought[0].bytes / 1e6:,.0f} MB, peak {peak:,.0f} MiB")


def _make(path: Path, size: int) -> None:
    block = bytes(range(256)) * (BLOCK // 256)
    with path.open("wb") as file:
        for start in range(0, size, BLOCK):
            file.write(block[: min(BLOCK, size - start)])


class _s3:  # noqa: N801 - used like a function
    """A moto server in a process of its own, with a bucket."""

    def __enter__(self) -> str:
        import boto3

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < until, "moto did not start"
            time.sleep(0.1)
        client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id=KEYS["access_key"],
            aws_secret_access_key=KEYS["secret_key"],
        )
        client.create_bucket(Bucket="bench")
        return f"127.0.0.1:{port}"

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait(60)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        bring(*json.loads(sys.argv[2]))
    else:
        main()
