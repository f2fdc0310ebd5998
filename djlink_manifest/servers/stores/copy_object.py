"""One object from one store to another: streamed, and proved before it counts.

While it is read its MD5 is computed, as DataJoint's hashes are; what was written is read again, or the store
tells a digest that it computed itself. A copy that is not the same is taken away.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

from djlink_manifest.errors import Interrupted, ObjectRefused, StoreError
from djlink_manifest.servers.stores.errors import store_errors
from djlink_manifest.servers.stores.store import Found, OpenStore

MANIFEST = ".manifest.json"  # beside a folder: the list that DataJoint writes of its files
LARGEST_LIST = 1 << 28


@dataclass(frozen=True, slots=True)
class Brought:
    """What was written for one object; nothing where it was there already."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Halt:
    """Whether to stop: the person asked to, or another object of the batch met an error."""

    stop: threading.Event
    ended: threading.Event

    def check(self) -> None:
        """Raise Interrupted where it is so."""
        if self.stop.is_set() or self.ended.is_set():
            raise Interrupted("stopped during the copy of an object")


@dataclass(frozen=True, slots=True)
class ObjectCopy:
    """Files from one store to another. `shared`: what stands at the goal may be somebody else's."""

    source: OpenStore
    target: OpenStore
    scratch: str
    halt: Halt
    shared: bool = False

    def file(
        self, path: str, found: Found, goal: str, hashed: str | None = None, size: int | None = None
    ) -> Brought:
        """Copy one file. Raises ObjectRefused, with nothing left behind."""
        self.halt.check()
        if found.is_folder:
            raise ObjectRefused(
                f"its object {path} is a folder in the {self.source.name}, and should be a file"
            )
        if size is not None and found.size != size:
            words = f"its object {path} has {found.size:,} bytes in the {self.source.name}, not {size:,}"
            raise ObjectRefused(words)
        if self._stands(path, found, goal, hashed):
            return Brought()
        digest, tag = self._written(path, found, goal, hashed)
        with store_errors(self.target, goal, writing=True):
            right = self._is(goal, found.size, digest, tag)
            if not right:
                self.target.remove(goal)
        if not right:
            raise StoreError(
                f"the data written to {goal} in the {self.target.name} differs from the data sent"
            )
        return Brought(1, found.size)

    def folder(self, path: str, goal: str, threads: ThreadPoolExecutor) -> Brought:
        """Copy a folder file by file, and DataJoint's list of its files last."""
        with store_errors(self.source, path):
            files = self.source.files(path)
            beside = self.source.look(path + MANIFEST)
            text = list_beside(self.source, path, beside)
        sizes = dict(files)
        for name, size in listed(text):
            self.source.inside(name)
            if sizes.get(name) != size:
                words = (
                    f"{path} in the {self.source.name} is incomplete: {name} is missing or has another size"
                )
                raise ObjectRefused(f"its folder {words}")
        copied = [
            threads.submit(self.file, f"{path}/{name}", Found(size), f"{goal}/{name}") for name, size in files
        ]
        try:
            brought = [future.result() for future in copied]
        except BaseException:
            for future in copied:
                future.cancel()
            wait(copied)
            raise
        if beside is not None:
            brought.append(self.file(path + MANIFEST, beside, goal + MANIFEST))
        return Brought(sum(b.files for b in brought), sum(b.bytes for b in brought))

    def _stands(self, path: str, found: Found, goal: str, hashed: str | None) -> bool:
        """Whether the object is there already. Raises ObjectRefused where another one is that must stay."""
        if self.target.address(goal) == self.source.address(path):
            return True
        if hashed is None and not self.shared:
            return False
        with store_errors(self.target, goal):
            existing = self.target.look(goal)
        if existing is None:
            return False
        alike = not existing.is_folder and existing.size == found.size
        if alike:
            with store_errors(self.target, goal):
                own_digest = digest_of(self.target, goal, self.halt)
            if hashed is not None:
                alike = base32(own_digest) == hashed
            else:
                with store_errors(self.source, path):
                    alike = own_digest == digest_of(self.source, path, self.halt)
        if not alike and self.shared:
            raise ObjectRefused(f"a different file exists at {goal} in the {self.target.name}")
        return alike

    def _written(self, path: str, found: Found, goal: str, hashed: str | None) -> tuple[bytes, str | None]:
        """Write an object; its MD5, and the tag that the store should give it."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with store_errors(self.target, goal, writing=True):
            upload = self.target.begin(goal, found.size, self.scratch)
        try:
            for chunk in _reading(self.source, path, self.halt.stop):
                self.halt.check()
                digest.update(chunk)
                size += len(chunk)
                if size > found.size:
                    break  # it may have no end
                with store_errors(self.target, goal, writing=True):
                    upload.write(chunk)
            if size != found.size or (hashed is not None and base32(digest.digest()) != hashed):
                raise ObjectRefused(
                    f"its object {path} in the {self.source.name} differs from what was stored there"
                )
            with store_errors(self.target, goal, writing=True):
                tag = upload.commit()
        except BaseException:
            upload.discard()
            raise
        return digest.digest(), tag

    def _is(self, goal: str, size: int, digest: bytes, tag: str | None) -> bool:
        existing = self.target.look(goal)
        if existing is None or existing.size != size:
            return False
        # a store that encrypts has tags of another kind
        told_so = existing.tag is not None and existing.tag == tag
        return told_so or digest_of(self.target, goal, self.halt) == digest


def digest_of(store: OpenStore, path: str, halt: Halt | None = None) -> bytes:
    """The MD5 of an object."""
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in store.read(path, None if halt is None else halt.stop):
        if halt is not None:
            halt.check()
        digest.update(chunk)
    return digest.digest()


def list_beside(store: OpenStore, path: str, beside: Found | None) -> bytes | None:
    """The text of the list that DataJoint writes of a folder's files; None where there is none."""
    if beside is None:
        return None
    if beside.is_folder or beside.size > LARGEST_LIST:
        raise ObjectRefused(f"the file list of {path} in the {store.name} is not valid")
    return b"".join(store.read(path + MANIFEST))


def listed(text: bytes | None) -> list[tuple[str, int]]:
    """The files that DataJoint's list of a folder names; one that cannot be read names none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return [(str(each["path"]), int(each["size"])) for each in json.loads(text or b"{}").get("files", ())]
    return []


def base32(digest: bytes) -> str:
    """An MD5 as DataJoint writes it."""
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def _reading(store: OpenStore, path: str, stop: threading.Event) -> Iterator[bytes]:
    chunks = store.read(path, stop)
    while True:
        with store_errors(store, path):
            chunk = next(chunks, b"")
        if not chunk:
            return
        yield chunk
