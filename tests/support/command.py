"""The `djlink` command as a process of its own, with batches as small as a test wants them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.rig import Rig

CODE = (
    "import sys; from djlink_manifest.reconcile.runtime import batches;"
    " batches.BATCH_ENTITIES = int(sys.argv.pop(1));"
    " sys.argv[0] = 'djlink'; from djlink_manifest.cli import main; main()"
)


def start(
    rig: Rig, path: Path, *arguments: str, batch: int = 10_000, environ: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command on a manifest; its warnings, and those of the libraries, are shown."""
    return subprocess.Popen(
        [sys.executable, "-W", "always", "-c", CODE, str(batch), *arguments, "-f", str(path)],
        env={**os.environ, **rig.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C for it is none for the tests
    )


def run(
    rig: Rig, path: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run a command: its exit code, stdout and stderr."""
    with start(rig, path, *arguments, environ=environ) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err
