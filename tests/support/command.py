"""The `djlink` command: as a process of its own, or in this one where a test is about what it prints."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from djlink_manifest import cli
from tests.support import next_steps
from tests.support.invariants.secrecy import found
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
    """Run a command on a manifest: its exit code, stdout and stderr."""
    ended = called(*arguments, "-f", str(path), environ={**rig.environ, **(environ or {})})
    return ended.returncode, ended.stdout, ended.stderr


def called(
    *arguments: str, environ: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, without a terminal: what a process of its own would have ended with.

    It saves the start of an interpreter, half a second. A secret that is printed fails the test, and so
    does a next step that cannot be typed.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        patch.dict(os.environ, environ),
        Path(os.devnull).open() as nothing,
        patch.object(sys, "stdin", nothing),
        redirect_stdout(out),
        redirect_stderr(err),
        _inside(folder),
        _shown_warnings(),
    ):
        code = cli.run(arguments)
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    for text in texts:
        next_steps.check(text)
    assert not any(map(found, texts)), f"a command printed a secret: {arguments}"
    return subprocess.CompletedProcess(arguments, code, *texts)


@contextmanager
def _inside(folder: Path | None) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder or before)
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _shown_warnings() -> Iterator[None]:
    """Warnings, and those of the libraries, go to stderr, as in a process of its own."""

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno))

    with warnings.catch_warnings(), patch.object(warnings, "showwarning", show):
        warnings.simplefilter("always")
        yield
