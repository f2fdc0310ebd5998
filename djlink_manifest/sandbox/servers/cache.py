"""A folder per user for what is slow to make: unpacked servers and empty data directories."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/djlink`, made where it is missing. Deleting it is always safe."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "djlink"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; others wait. The system frees it when the holder dies."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built_once(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` in the cache; where it is missing, `build` fills it.

    `build` gets an empty folder that is renamed when it returns, so the folder is either whole or absent,
    whenever a process is killed and however many ask at once. What `build` raises passes through.
    """
    final = cache_dir() / name
    if final.is_dir():
        return final
    with locked(cache_dir() / f"{name}.lock"):
        if final.is_dir():
            return final
        partial = cache_dir() / f"{name}.partial"
        # Under the lock nobody else is building: what lies here was left by a process that was killed.
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        try:
            build(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        partial.rename(final)
    return final
