"""Stores that are folders of this machine.

A path is walked from the store's folder downwards, by the descriptors of the folders on the way, and no link
is followed while walking. Links within the store are resolved before, and refused where they lead out of it;
one that appears in between is not followed either. So nothing outside of the store is read or written,
whoever else may write into it.
"""

from __future__ import annotations

import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from djlink_manifest.model.stores.path import StorePath
from djlink_manifest.model.stores.store import Store
from djlink_manifest.servers.stores.store import CHUNK, Found, OpenStore, Upload

LONGEST_STEP = 255  # bytes, of the filesystems in use
TRIES = 100

# to pass through a folder takes no right to read it, where the system knows of that
_PASS = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# a pipe is not waited for
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStore(OpenStore):
    """A store in a folder, which may itself be reached by a link."""

    def __init__(self, store: Store, of: str) -> None:
        super().__init__(store, of)
        self._root = Path(str(store.settings["location"]))

    def check(self, *, writing: bool) -> None:
        """Raise where the folder is not there, or the rights on it are lacking."""
        if not self._root.is_dir():
            raise FileNotFoundError(f"there is no folder {self._root}")
        if not os.access(self._root, os.R_OK | os.X_OK):
            raise PermissionError(f"the folder {self._root} cannot be read")
        if writing and not os.access(self._root, os.W_OK):
            raise PermissionError(f"the folder {self._root} cannot be written to")

    def peek(self) -> None:
        """Raise where the folder cannot be listed."""
        with os.scandir(self._root) as entries:
            next(entries, None)

    @contextmanager
    def folder(self, steps: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Open the folder that these steps lead to, following no link; `make` what is missing of it."""
        number = os.open(self._root, _PASS)
        try:
            for step in steps:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(step, dir_fd=number)
                above, number = number, os.open(step, _PASS | os.O_NOFOLLOW, dir_fd=number)
                os.close(above)
            yield number
        finally:
            os.close(number)

    def steps(self, path: StorePath, *, replacing: bool = False) -> tuple[str, ...]:
        """The steps from the store's folder to where a path leads once links are followed.

        `replacing`: a link at the path itself is not followed. Raises ObjectRefused where a link leads out.
        """
        if any(len(os.fsencode(step)) > LONGEST_STEP for step in path.split("/")):
            raise self.refusal("is too long")
        return self._steps(path, replacing)

    def _steps(self, path: StorePath, replacing: bool) -> tuple[str, ...]:
        root = Path(os.path.realpath(self._root))
        place = root / path
        if replacing:
            place = Path(os.path.realpath(place.parent)) / place.name
        else:
            place = Path(os.path.realpath(place))
        if not place.is_relative_to(root):
            raise self.refusal("leads out of the store: a link in the store's folder points elsewhere")
        return place.relative_to(root).parts

    def _look_at(self, path: StorePath) -> Found | None:
        steps = self.steps(path)
        if not steps:
            return Found(0, is_folder=True)  # a link to the store's folder
        try:
            with self.folder(steps[:-1]) as number:
                found = os.stat(steps[-1], dir_fd=number, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISDIR(found.st_mode):
            return Found(0, is_folder=True)
        if not stat.S_ISREG(found.st_mode):
            raise self.refusal("leads to something other than a file or a folder")
        return Found(found.st_size)

    def _files_at(self, path: StorePath) -> list[tuple[str, int]]:
        steps, found, pending = self.steps(path), list[tuple[str, int]](), [""]
        while pending:
            below = pending.pop()
            with self.folder((*steps, *filter(None, below.split("/")))) as number:
                listed = os.open(".", _LIST, dir_fd=number)
                try:
                    with os.scandir(listed) as entries:
                        for entry in entries:
                            place = self.inside(f"{below}/{entry.name}" if below else entry.name)
                            if entry.is_dir(follow_symlinks=False):
                                pending.append(place)
                            else:
                                info = entry.stat(follow_symlinks=False)
                                found.append((place, self._size_of(path, place, info)))
                finally:
                    os.close(listed)
        return found

    def _size_of(self, path: StorePath, place: StorePath, info: os.stat_result) -> int:
        if stat.S_ISREG(info.st_mode):
            return info.st_size
        target = self._look_at(self.inside(f"{path}/{place}"))  # which refuses what is no file
        if target is None:
            raise self.refusal("contains a broken link")
        if target.is_folder:
            raise self.refusal("contains a link to a folder, whose files would be omitted")
        return target.size

    def _read_at(self, path: StorePath, stop: threading.Event | None) -> Iterator[bytes]:
        steps = self.steps(path)
        with self.folder(steps[:-1]) as folder:
            number = os.open(steps[-1] if steps else ".", _READ, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise self.refusal("does not lead to a file")
            while chunk := os.read(number, CHUNK):
                yield chunk
        finally:
            os.close(number)

    def _begin_at(self, path: StorePath, size: int, scratch: StorePath) -> Upload:
        if not self._root.is_dir():  # a share that is not mounted any more is not to be made anew
            raise FileNotFoundError(f"there is no folder {self._root}")
        return _FolderUpload(self, path, scratch)

    def _remove_at(self, path: StorePath) -> None:
        *above, name = self.steps(path, replacing=True)
        with suppress(FileNotFoundError), self.folder(above) as number:
            os.unlink(name, dir_fd=number)

    def _address_of(self, path: StorePath) -> tuple[str, ...]:
        return ("file", os.path.realpath(self._root / path))

    def _tidy_at(self, scratch: StorePath) -> None:
        *above, name = self.steps(scratch)
        with suppress(OSError), self.folder(above) as number:
            os.rmdir(name, dir_fd=number)


class _FolderUpload(Upload):
    """A file that is written beside, and put into its place once it is whole."""

    def __init__(self, store: FolderStore, path: StorePath, scratch: StorePath) -> None:
        self._store = store
        *self._above, self._name = store.steps(path, replacing=True)
        self._written = secrets.token_hex(16)
        aside = store.steps(scratch)
        for again in reversed(range(TRIES)):
            try:
                with store.folder(aside, make=True) as number:
                    self._file = os.fdopen(os.open(self._written, _WRITE, 0o666, dir_fd=number), "wb")
                    self._scratch = os.dup(number)
                    return
            except FileNotFoundError:  # another thread tidied up in between
                if not again:
                    raise

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)

    def commit(self) -> str | None:
        """Put the file into its place."""
        self._file.flush()
        os.fsync(self._file.fileno())  # the row that names it is on disk right after
        self._file.close()
        with self._store.folder(self._above, make=True) as goal:
            os.replace(self._written, self._name, src_dir_fd=self._scratch, dst_dir_fd=goal)
        os.close(self._scratch)
        self._scratch = -1
        return None

    def discard(self) -> None:
        """Take away what was written."""
        with suppress(OSError):
            self._file.close()
        if self._scratch == -1:
            return
        with suppress(FileNotFoundError):
            os.unlink(self._written, dir_fd=self._scratch)
        os.close(self._scratch)
        self._scratch = -1
