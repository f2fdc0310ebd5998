"""One store, opened: what lies at a path, reading and writing in chunks. A write shows only when it is whole.

Folders of this machine are read and written directly; all else goes through DataJoint's own backends, which
are fsspec's.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from djlink_manifest.errors import StoreError
from djlink_manifest.model.stores import Store

CHUNK = 4 << 20
PART = 8 << 20  # of an upload in parts; what is smaller is sent at once
MOST_PARTS = 9_000
SCRATCH = ".djlink"


@dataclass(frozen=True, slots=True)
class Found:
    """What lies at a path. `tag` is the MD5 of the content, in hex, where the store knows it."""

    size: int
    is_folder: bool = False
    tag: str | None = None


class Upload(ABC):
    """An object being written. It is not there before `commit`; `discard` leaves nothing."""

    @abstractmethod
    def write(self, chunk: bytes) -> None:
        """Add bytes."""

    @abstractmethod
    def commit(self) -> None:
        """Let the object be there, whole and in one moment."""

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
    return _Remote(store, of)


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

    def commit(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())  # the row that names it is on disk right after
        self._file.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written.replace(self._path)

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._written.unlink(missing_ok=True)


class _Remote(OpenStore):
    def __init__(self, store: Store, of: str) -> None:
        from datajoint.storage import StorageBackend

        super().__init__(store, of)
        try:
            self._backend = StorageBackend(dict(store.settings))
            self._fs: Any = self._backend.fs
        except ImportError as error:
            protocol = store.settings.get("protocol")
            raise StoreError(
                f"the {self.name} needs a library that is not installed: {error}",
                hint=f"pip install 'datajoint[{protocol}]'",
            ) from error

    def check(self, *, writing: bool) -> None:
        settings = self.store.settings
        bucket = settings.get("bucket") or settings.get("container")
        self._fs.invalidate_cache()
        if bucket and not self._fs.exists(bucket):
            raise FileNotFoundError(f"there is no bucket `{bucket}`, or it is not for this account")

    def peek(self) -> None:
        with suppress(FileNotFoundError):  # nothing is below its location yet
            self._fs.ls(self._whole(""), detail=False)

    def look(self, path: str) -> Found | None:
        whole = self._whole(path)
        self._fs.invalidate_cache(self._fs._parent(whole))
        try:
            info = self._fs.info(whole)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            return Found(0, is_folder=True)
        tag = str(info.get("ETag") or "").strip('"').lower()
        return Found(int(info["size"] or 0), tag=tag if len(tag) == 32 else None)

    def files(self, path: str) -> list[tuple[str, int]]:
        whole = self._whole(path).rstrip("/")
        self._fs.invalidate_cache(whole)
        start = len(self._fs._strip_protocol(whole)) + 1
        found = self._fs.find(whole, detail=True)
        return sorted(
            (name[start:], int(info["size"] or 0))
            for name, info in found.items()
            if len(name) > start and not name.endswith("/") and info["type"] != "directory"
        )

    def read(self, path: str) -> Iterator[bytes]:
        with self._fs.open(self._whole(path), "rb", block_size=CHUNK, cache_type="none") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def begin(self, path: str, size: int, scratch: str) -> Upload:
        return _RemoteUpload(self._fs, self._whole(path), size)

    def remove(self, path: str) -> None:
        self._fs.rm_file(self._whole(path))

    def address(self, path: str) -> tuple[str, ...]:
        settings = self.store.settings
        place = (settings.get("protocol"), settings.get("endpoint"), settings.get("account_name"))
        return (*(str(each) for each in place), self._whole(path))

    def tidy(self, scratch: str) -> None:
        """There are no folders, and nothing unfinished shows."""

    def _whole(self, path: str) -> str:
        return str(self._backend._full_path(path))


class _RemoteUpload(Upload):
    """What is small is kept and sent at once; what is larger goes in parts that are joined at the end."""

    def __init__(self, fs: Any, path: str, size: int) -> None:
        self._fs = fs
        self._path = path
        self._small = bytearray()
        self._part = max(PART, size // MOST_PARTS + 1)
        self._file: Any = None

    def write(self, chunk: bytes) -> None:
        if self._file is None:
            self._small += chunk
            if len(self._small) <= PART:
                return
            self._file = self._fs.open(self._path, "wb", block_size=self._part, autocommit=False)
            chunk, self._small = bytes(self._small), bytearray()
        self._file.write(chunk)

    def commit(self) -> None:
        if self._file is None:
            self._fs.pipe_file(self._path, bytes(self._small))
        else:
            self._file.close()
            self._file.commit()

    def discard(self) -> None:
        if self._file is not None:
            with suppress(Exception):  # what it could not take back shows nowhere
                self._file.discard()
            self._file.closed = True  # else it would be sent when it is forgotten
