"""What an open store can do, whatever it is kept in: the protocol that folders and object stores follow."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from djlink_manifest.errors import ObjectRefused
from djlink_manifest.model.stores.path import BadPath, StorePath, store_path
from djlink_manifest.model.stores.store import Store

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
    """A store that is open. `of` says whose it is, for messages.

    Each method that takes a path raises ObjectRefused where it leads out of the store. Kinds of stores
    implement the methods with `_at` in their names, which get checked paths.
    """

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

    def look(self, path: str) -> Found | None:
        """What lies at a path, as it is now."""
        return self._look_at(self.inside(path))

    def files(self, path: str) -> list[tuple[str, int]]:
        """The files below a folder: their paths from there, and sizes, sorted."""
        folder = self.inside(path)
        found = self._files_at(folder)
        for name, _ in found:
            self.inside(name)
            self.inside(f"{folder}/{name}")
        return sorted(found)

    def read(self, path: str, stop: threading.Event | None = None) -> Iterator[bytes]:
        """The bytes of an object in chunks; `stop` ends a pause after a connection broke."""
        return self._read_at(self.inside(path), stop)

    def begin(self, path: str, size: int, scratch: str) -> Upload:
        """Begin to write an object of about `size` bytes; `scratch` is a folder for what is not whole yet."""
        return self._begin_at(self.inside(path), size, self.inside(scratch))

    def remove(self, path: str) -> None:
        """Take an object away."""
        self._remove_at(self.inside(path))

    def address(self, path: str) -> tuple[str, ...]:
        """What tells the object apart from all others anywhere, as far as settings tell."""
        return self._address_of(self.inside(path))

    def tidy(self, scratch: str) -> None:
        """Take the folder of unfinished writes away, if it is empty."""
        self._tidy_at(self.inside(scratch))

    def inside(self, path: str) -> StorePath:
        """The path, checked. Raises ObjectRefused."""
        try:
            return store_path(path)
        except BadPath as error:
            raise self.refusal(str(error)) from None

    def refusal(self, reason: str) -> ObjectRefused:
        """What is raised for a path that cannot be followed; `reason` is the end of a sentence about it."""
        hint = "ask the owner of the row to correct it" if self.of != "local" else "see docs/stores.md"
        return ObjectRefused(f"the path of an object in the {self.name} {reason}", hint=hint)

    @abstractmethod
    def _look_at(self, path: StorePath) -> Found | None: ...

    @abstractmethod
    def _files_at(self, path: StorePath) -> list[tuple[str, int]]: ...

    @abstractmethod
    def _read_at(self, path: StorePath, stop: threading.Event | None) -> Iterator[bytes]: ...

    @abstractmethod
    def _begin_at(self, path: StorePath, size: int, scratch: StorePath) -> Upload: ...

    @abstractmethod
    def _remove_at(self, path: StorePath) -> None: ...

    @abstractmethod
    def _address_of(self, path: StorePath) -> tuple[str, ...]: ...

    @abstractmethod
    def _tidy_at(self, scratch: StorePath) -> None: ...
