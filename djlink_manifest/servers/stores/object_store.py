"""Stores on other machines, through DataJoint's backends, which are fsspec's.

fsspec reads an object in ranges, each a request of its own. From S3 one request brings it all, in chunks, and
a new one goes on where a connection broke. S3 also tells the MD5 of what it holds, or that of the MD5s of the
parts it was sent in: what was written is compared with that, and not read again.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

from djlink_manifest.errors import StoreError
from djlink_manifest.model.stores.path import StorePath
from djlink_manifest.model.stores.store import Store
from djlink_manifest.retry import Attempts, Retry
from djlink_manifest.servers.stores.store import CHUNK, Found, OpenStore, Upload

PART = 8 << 20  # of an upload in parts; what is smaller is sent at once
MOST_PARTS = 9_000
LARGEST_PART = 1 << 30  # it is kept in memory, and a listing may tell any size
LONGEST_KEY = 1024  # bytes, of all object stores
AGAIN = Retry(4, lambda failures: 0.1 * 4**failures, lambda error: True)

_TAG = re.compile(r"[0-9a-f]{32}(?:-[0-9]+)?")


def remote_store(store: Store, of: str) -> OpenStore:
    """A store that DataJoint reaches through fsspec. Raises StoreError where its library is missing."""
    return _Remote(store, of)


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
            raise FileNotFoundError(f"there is no bucket `{bucket}`, or this account has no access to it")

    def peek(self) -> None:
        """Raise where what lies at the top of the store cannot be seen."""
        with suppress(FileNotFoundError):  # nothing is below its location yet
            self._fs.ls(str(self._backend._full_path("")), detail=False)

    def _look_at(self, path: StorePath) -> Found | None:
        whole = self._whole(path)
        self._fs.invalidate_cache(self._fs._parent(whole))
        try:
            info = self._fs.info(whole)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            return Found(0, is_folder=True)
        return Found(int(info["size"] or 0), tag=_tag_of(info))

    def _files_at(self, path: StorePath) -> list[tuple[str, int]]:
        whole = self._whole(path)
        self._fs.invalidate_cache(whole)
        begin, found = f"{self._fs._strip_protocol(whole)}/", list[tuple[str, int]]()
        for name, info in self._fs.find(whole, detail=True).items():
            if name.endswith("/") or info["type"] == "directory":  # a marker of a folder
                continue
            if not name.startswith(begin):
                raise self.refusal("is a folder whose listing names files that are not in it")
            found.append((name.removeprefix(begin), int(info["size"] or 0)))
        return found

    def _read_at(self, path: StorePath, stop: threading.Event | None) -> Iterator[bytes]:
        if self.store.settings.get("protocol") == "s3":
            return _s3_chunks(self._fs, self._whole(path), stop)
        return self._ranges(path)

    def _begin_at(self, path: StorePath, size: int, scratch: StorePath) -> Upload:
        return _RemoteUpload(self._fs, self._whole(path), size)

    def _remove_at(self, path: StorePath) -> None:
        self._fs.rm_file(self._whole(path))

    def _address_of(self, path: StorePath) -> tuple[str, ...]:
        settings = self.store.settings
        place = (settings.get("protocol"), settings.get("endpoint"), settings.get("account_name"))
        return (*(str(each) for each in place), self._whole(path))

    def _tidy_at(self, scratch: StorePath) -> None:
        """There are no folders, and nothing unfinished shows."""

    def _ranges(self, path: StorePath) -> Iterator[bytes]:
        with self._fs.open(self._whole(path), "rb", block_size=CHUNK, cache_type="none") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _whole(self, path: StorePath) -> str:
        """The path with bucket and location. Raises ObjectRefused where the protocol reads it otherwise."""
        whole, top = str(self._backend._full_path(path)), str(self._backend._full_path(""))
        place = self._fs._strip_protocol(whole)
        wanted = f"{self._fs._strip_protocol(top)}/{path}"
        key = wanted
        if hasattr(self._fs, "split_path"):  # which takes a version's name off the end
            bucket, key, *more = self._fs.split_path(whole)
            place = f"{bucket}/{key}" if not any(more) else ""
        if place.lstrip("/") != wanted.lstrip("/"):
            raise self.refusal("is interpreted differently by its protocol and would lead elsewhere")
        if len(key.encode()) > LONGEST_KEY:
            raise self.refusal("is too long")
        return whole


def _tag_of(info: Any) -> str | None:
    tag = str(info.get("ETag") or "").strip('"').lower()
    return tag if _TAG.fullmatch(tag) else None


def _s3_chunks(fs: Any, path: str, stop: threading.Event | None) -> Iterator[bytes]:
    """The bytes of an object of S3, by one request where none is lost; always of the same object."""
    from fsspec.asyn import sync
    from s3fs.core import S3_RETRYABLE_ERRORS

    bucket, key, _ = fs.split_path(path)
    position, size, tag = 0, None, None
    attempts = Attempts(AGAIN, stop)
    while size is None or position < size:
        # what was written anew in between is refused by the server
        again: dict[str, str] = {} if tag is None else {"Range": f"bytes={position}-", "IfMatch": tag}
        answer = fs.call_s3("get_object", Bucket=bucket, Key=key, **again)
        if size is None:
            size, tag = int(answer["ContentLength"]), answer.get("ETag")
        try:
            with closing(answer["Body"]) as body:
                while chunk := sync(fs.loop, _chunk, body):
                    position += len(chunk)
                    attempts.got_on()
                    yield chunk
            if position < size:
                raise ConnectionError("the connection ended before the end of the object")
        except (*S3_RETRYABLE_ERRORS, ConnectionError) as error:
            if tag is None:
                raise
            attempts.failed(error)


async def _chunk(body: Any) -> bytes:
    """The next bytes of an answer, in one piece: they come in small ones."""
    pieces, size = [], 0
    while size < CHUNK and (piece := await body.read(CHUNK - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


class _RemoteUpload(Upload):
    """What is small is kept and sent at once; what is larger goes in parts that are joined at the end."""

    def __init__(self, fs: Any, path: str, size: int) -> None:
        self._fs = fs
        self._path = path
        self._part = min(max(PART, size // MOST_PARTS + 1), LARGEST_PART)
        self._first = bytearray()
        self._file: Any = None
        self._filled = 0  # of the part in hand
        self._digest = hashlib.md5(usedforsecurity=False)
        self._digests = list[bytes]()

    def write(self, chunk: bytes) -> None:
        if self._file is None:
            self._first += chunk
            if len(self._first) <= PART:
                return
            self._file = self._fs.open(self._path, "wb", block_size=self._part, autocommit=False)
            chunk, self._first = bytes(self._first), bytearray()
        # each part is sent when it is full, so its MD5 is known
        view = memoryview(chunk)
        while view:
            piece, view = view[: self._part - self._filled], view[self._part - self._filled :]
            self._digest.update(piece)
            self._filled += len(piece)
            self._file.write(piece)
            if self._filled == self._part:
                self._end_part()

    def commit(self) -> str | None:
        if self._file is None:
            self._fs.pipe_file(self._path, bytes(self._first))
            return hashlib.md5(self._first, usedforsecurity=False).hexdigest()
        if self._filled:
            self._end_part()
        whole = hashlib.md5(b"".join(self._digests), usedforsecurity=False)
        tag = f"{whole.hexdigest()}-{len(self._digests)}"
        self._file.close()
        try:
            self._file.commit()
        except Exception:
            # joining parts takes a server long: it may be done though nobody waited for the answer
            if self._tag() != tag:
                raise
        return tag

    def discard(self) -> None:
        if self._file is not None:
            with suppress(Exception):  # what it could not take back shows nowhere
                self._file.discard()
            with suppress(AttributeError):  # files of some protocols do not let one say so
                self._file.closed = True  # else it would be sent when it is forgotten

    def _tag(self) -> str | None:
        self._fs.invalidate_cache(self._fs._parent(self._path))
        with suppress(Exception):
            return _tag_of(self._fs.info(self._path))
        return None

    def _end_part(self) -> None:
        self._digests.append(self._digest.digest())
        self._digest, self._filled = hashlib.md5(usedforsecurity=False), 0
