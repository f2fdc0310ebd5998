"""Peak memory of bringing one large object, from folder to folder, to S3 and back.

    python benchmarks/objects.py [--bytes N] [--endpoint HOST:PORT --access-key K --secret-key S]

Each case runs in a process of its own, with DataJoint loaded as in an apply, so that the peak resident memory
is all that such an apply takes beside its rows. S3 is a moto server, a process of its own too, which takes
about four times an object's size in memory; or the server at `--endpoint`, where a bucket `bench` is made.
Seconds are printed beside it for orientation.
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
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from djlink_manifest.model.stores.external import Transport
from djlink_manifest.model.stores.store import Store, Stores
from djlink_manifest.servers.stores.settings import read_stores
from djlink_manifest.servers.stores.transport import Brought, StoreTransport

BLOCK = 1 << 20


def main() -> None:
    """Run every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bytes", type=int, default=2_000_000_000)
    parser.add_argument("--endpoint")
    parser.add_argument("--access-key", default="benchmark")
    parser.add_argument("--secret-key", default="benchmark")
    asked = parser.parse_args()
    keys = {"access_key": asked.access_key, "secret_key": asked.secret_key}
    source = nullcontext(asked.endpoint) if asked.endpoint else moto()
    with tempfile.TemporaryDirectory() as folder, source as endpoint:
        _make_bucket(endpoint, keys)
        file = {"protocol": "file", "location": folder}
        s3 = {
            "protocol": "s3",
            "endpoint": endpoint,
            "bucket": "bench",
            "location": "x",
            "secure": False,
            **keys,
        }
        _make(Path(folder, "large"), asked.bytes)
        for name, case in {
            "file to file": (file, "large", file, "copy"),
            "file to s3": (file, "large", s3, "large"),
            "s3 to file": (s3, "large", file, "copy2"),
        }.items():
            begun = time.monotonic()
            done = subprocess.run(
                [sys.executable, __file__, "--case", json.dumps(case)],
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            print(f"{name}: {done.stdout.strip()}, {time.monotonic() - begun:.0f} s")


def bring(source: dict[str, Any], path: str, local: dict[str, Any], goal: str) -> None:
    """Bring one object and print the peak memory."""
    source_side, local_side = (
        read_stores({"lab": {"raw": Store("raw", settings)}}).of_source("lab", "raw")
        for settings in (source, local)
    )
    assert isinstance(source_side, Store)
    assert isinstance(local_side, Store)
    stores = Stores({"ours": Store("ours", local_side.settings)}, "ours", {"lab": {"raw": source_side}})
    brought = list[Brought]()
    with closing(StoreTransport(stores)) as store_transport:
        refused = store_transport.bring(
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


@contextmanager
def moto() -> Iterator[str]:
    """A moto server in a process of its own; its host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < until, "moto did not start"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _make_bucket(endpoint: str, keys: dict[str, str]) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=f"http://{endpoint}",
        region_name="us-east-1",
        aws_access_key_id=keys["access_key"],
        aws_secret_access_key=keys["secret_key"],
    )
    client.create_bucket(Bucket="bench")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        bring(*json.loads(sys.argv[2]))
    else:
        main()
