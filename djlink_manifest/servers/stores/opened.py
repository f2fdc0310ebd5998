"""One store, opened: what lies at a path, reading and writing in chunks. A write shows only when it is whole.

Folders of this machine are read and written directly; all else goes through DataJoint's own backends, which
are fsspec's (`remote`).
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from djlink_manifest.model.stores import Store

CHUNK = 4 << 20
SCRATCH = ".djlink"


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path. `tag` is what the store itself computed of the content: S3's ETag."""

    size: int
    is_folder: bool = False
    tag: str | None = None


class Upload(ABC):
    """An object being written. It is not there before `commit`; `discard` leaves nothing."""

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Add bytes."""

    @abstractmethod
    def commit(self) -> str | None:
        """Let the object be there, whole and in one moment.

        The tag that a store which computes one gives to what was sent, so that it need not be read again.
        """

    @abstractmethod
    def discard(self) -> None:
        """Undo what was written."""


class OpenStore(ABC):
    """A store that is open. `of` says whose it is, for messages."""

    def __init__(self, store: Store, of: str) -> None:
        self.store = store
        self.of = of

    @property
    def name(self) -> str:
        """The store, as messages name it."""
        return f"store `{self.store.name}` of {self.of} ({self.store.where})"

    @abstractmethod
    def check(self, *, writing: bool) -> None:
        """Raise where the store is not there, or, as far as can be seen without writing, not writable."""

    @abstractmethod
    def peek(self) -> None:
        """Raise where what lies at the top of the store cannot be seen."""

    @abstractmethod
    def look(self, path: str) -> Found | None:
        """What lies at a path, as it is now."""

    @abstractmethod
    def files(self, path: str) -> list[tuple[str, int]]:
        """The files below a folder: their paths from there, and sizes, sorted."""

    @abstractmethod
    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of an object in chunks."""

    @abstractmethod
    def begin(self, path: str, size: int, scratch: str) -> Upload:
        """Begin to write an object of about `size` bytes; `scratch` is a folder for what is not whole yet."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Take an object away."""

    @abstractmethod
    def address(self, path: str) -> tuple[str, ...]:
        """What tells the object apart from all others anywhere, as far as settings tell."""

    @abstractmethod
    def tidy(self, scratch: str) -> None:
        """Take the folder of unfinished writes away, if it is empty."""


def open_store(store: Store, of: str) -> OpenStore:
    """The store, ready to use. Raises StoreError."""
    if store.settings.get("protocol") == "file":
        return _Folder(store, of)
    from djlink_manifest.servers.stores.remote import remote_store  # which is made of what is here

    return remote_store(store, of)


class _Folder(OpenStore):
    def __init__(self, store: Store, of: str) -> None:
        super().__init__(store, of)
        self._root = Path(str(store.settings["location"]))

    def check(self, *, writing: bool) -> None:
        if not self._root.is_dir():
            raise FileNotFoundError(f"there is no folder {self._root}")
        if not os.access(self._root, os.R_OK | os.X_OK):
            raise PermissionError(f"the folder {self._root} cannot be read")
        if writing and not os.access(self._root, os.W_OK):
            raise PermissionError(f"the folder {self._root} cannot be written to")

    def peek(self) -> None:
        with os.scandir(self._root) as entries:
            next(entries, None)

    def look(self, path: str) -> Found | None:
        try:
            found = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        is_folder = (self._root / path).is_dir()
        return Found(0 if is_folder else found.st_size, is_folder)

    def files(self, path: str) -> list[tuple[str, int]]:
        root = self._root / path
        return sorted(
            (each.relative_to(root).as_posix(), each.stat().st_size)
            for each in root.rglob("*")
            if not each.is_dir()
        )

    def read(self, path: str) -> Iterator[bytes]:
        with (self._root / path).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def begin(self, path: str, size: int, scratch: str) -> Upload:
        if not self._root.is_dir():  # a share that is not mounted any more is not to be made anew
            raise FileNotFoundError(f"there is no folder {self._root}")
        return _FileUpload(self._root / path, self._root / scratch)

    def remove(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)

    def address(self, path: str) -> tuple[str, ...]:
        return ("file", str((self._root / path).resolve()))

    def tidy(self, scratch: str) -> None:
        with suppress(OSError):
            (self._root / scratch).rmdir()


class _FileUpload(Upload):
    def __init__(self, path: Path, scratch: Path) -> None:
        self._path = path
        while True:
            scratch.mkdir(parents=True, exist_ok=True)
            self._written = scratch / secrets.token_hex(16)
            with suppress(FileNotFoundError):  # another thread tidied up in between
                self._file = self._written.open("xb")
                return

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def commit(self) -> str | None:
        self._file.flush()
        os.fsync(self._file.fileno())  # the row that names it is on disk right after
        self._file.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written.replace(self._path)
        return None

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._written.unlink(missing_ok=True)
