"""Bringing objects from a source's stores to local ones: streamed, in parallel, and proved before it counts.

While an object is read its MD5 is computed, as DataJoint's hashes are; what was written is read again, or the
store tells its MD5. A copy that is not the same is taken away. The objects of one run share the threads, so
that memory stays flat however many links run.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from djlink_manifest.errors import DjlinkError, Interrupted, ObjectRefused, StoreError
from djlink_manifest.model.external import Transport
from djlink_manifest.model.stores import INLINE, NoStore, Store, Stores
from djlink_manifest.servers.stores.opened import SCRATCH, Found, OpenStore, open_store

THREADS = 4
TRIES = 3
MANIFEST = ".manifest.json"  # beside a folder: the list that DataJoint writes of its files

_FULL = {errno.ENOSPC, errno.EDQUOT}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Brought:
    """What was written for one object; nothing where it was there already."""

    files: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sought:
    """An object that should lie in a store, by what its row says."""

    store: str
    path: str
    hash: str | None
    size: int | None


class Depot:
    """The stores of a run, opened when first needed, and the threads that copy between them.

    Values that go into rows are put aside in a folder of this machine.
    """

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self._open: dict[tuple[str, str], OpenStore] = {}
        self._checked: dict[tuple[str, str], StoreError] = {}
        self._usable = set[tuple[str, str]]()
        self._guard = threading.Lock()
        self._objects = ThreadPoolExecutor(THREADS, thread_name_prefix="djlink-objects")
        self._files = ThreadPoolExecutor(THREADS, thread_name_prefix="djlink-files")  # of folders
        self._put_aside: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """End the threads and take away what was put aside."""
        self._objects.shutdown(cancel_futures=True)
        self._files.shutdown(cancel_futures=True)
        if self._put_aside is not None:
            self._put_aside.cleanup()

    def source(self, source: str, name: str) -> OpenStore:
        """A source's store, open. Raises StoreError."""
        return self._opened(source, name, self.stores.of_source(source, name))

    def local(self, name: str) -> OpenStore:
        """A local store, open. Raises StoreError."""
        return self._opened("local", name, self.stores.local(name))

    def check(self, source: str, names: Iterable[str], targets: Iterable[str]) -> None:
        """Raise StoreError where one of these stores cannot be used, as far as is seen without writing."""
        wanted = [(source, name) for name in names]
        wanted += [("local", name) for name in targets if name != INLINE]
        for owner, name in wanted:
            with self._guard:
                known = self._checked.get((owner, name))
            if known is not None:
                raise known
            if (owner, name) in self._usable:
                continue
            try:
                store = self.local(name) if owner == "local" else self.source(owner, name)
                with _told(store):
                    store.check(writing=owner == "local")
            except StoreError as error:
                self._checked[owner, name] = error
                raise
            self._usable.add((owner, name))

    def bring(
        self,
        source: str,
        objects: Iterable[Transport],
        schema: str,
        stop: threading.Event,
        each: Callable[[Brought], None],
    ) -> Mapping[Transport, str]:
        """Copy objects of a source; those that cannot be brought, with the reason.

        `schema` is the local one; `each` hears of every object that was brought, in the calling thread.
        Raises StoreError where a store cannot be used, Interrupted where `stop` was set: then nothing more is
        written.
        """
        ended = threading.Event()  # of this call alone
        halt = _Halt(stop, ended)
        work = {self._objects.submit(self._bring, source, o, schema, halt): o for o in objects}
        refused = dict[Transport, str]()
        waiting: set[Future[Brought | str]] = set(work)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in done:
                    found = future.result()
                    if isinstance(found, Brought):
                        each(found)
                    else:
                        refused[work[future]] = found
        except BaseException:
            ended.set()
            for future in waiting:
                future.cancel()
            wait(waiting)
            raise
        finally:
            self._tidy({o.local for o in work.values() if o.local != INLINE}, schema)
        return refused

    def faults(self, owner: str, objects: Sequence[Sought], *, reading: bool) -> list[bool]:
        """Of each object whether it is missing or altered; `owner` is `local` or a source.

        `reading`: where its hash is known its bytes are read. Raises StoreError where a store cannot be used.
        """
        return list(self._objects.map(partial(self._is_at_fault, owner, reading=reading), objects))

    def _is_at_fault(self, owner: str, sought: Sought, *, reading: bool) -> bool:
        known = self.stores.local(sought.store) if owner == "local" else None
        if isinstance(known, NoStore):
            return True  # DataJoint cannot read it either
        store = self.local(sought.store) if known is not None else self.source(owner, sought.store)
        with _told(store):
            found = store.look(sought.path)
            if found is None or (sought.size is not None and found.size != sought.size):
                return True
            if not found.is_folder:
                return bool(reading and sought.hash and _base32(_digest(store, sought.path)) != sought.hash)
            beside = store.look(sought.path + MANIFEST)
            listed = _listed(b"".join(store.read(sought.path + MANIFEST)) if beside else None)
            files = dict(store.files(sought.path)) if listed else {}
        return any(files.get(name) != size for name, size in listed)

    def content(self, source: str, transported: Transport) -> bytes:
        """The bytes of a value that goes into a row, once it was brought."""
        return self._spooled(source, transported).read_bytes()

    def forget(self, source: str, objects: Iterable[Transport]) -> None:
        """Take values that went into rows away again."""
        for each in objects:
            if each.local == INLINE:
                self._spooled(source, each).unlink(missing_ok=True)

    @property
    def _spool(self) -> Path:
        with self._guard:
            if self._put_aside is None:
                self._put_aside = tempfile.TemporaryDirectory(prefix="djlink-")
            return Path(self._put_aside.name)

    def _spooled(self, source: str, transported: Transport) -> Path:
        place = "\0".join((source, transported.source, transported.source_path))
        return self._spool / hashlib.sha256(place.encode()).hexdigest()

    def _opened(self, owner: str, name: str, found: Store | NoStore) -> OpenStore:
        if isinstance(found, NoStore):
            raise StoreError(found.reason, hint=found.hint, server=f"store `{name}` of {owner}")
        with self._guard:
            if (owner, name) not in self._open:
                self._open[owner, name] = _opened(found, owner)
            return self._open[owner, name]

    def _tidy(self, stores: Iterable[str], schema: str) -> None:
        for name in stores:
            store = self.local(name)
            store.tidy(_scratch(store.store, schema))

    def _bring(self, source: str, transported: Transport, schema: str, halt: _Halt) -> Brought | str:
        """Bring one object, or say why it cannot be brought."""
        try:
            return _again(partial(self._carried, source, transported, schema, halt), halt)
        except ObjectRefused as refused:
            return refused.message

    def _carried(self, source: str, transported: Transport, schema: str, halt: _Halt) -> Brought:
        theirs, path = self.source(source, transported.source), transported.source_path
        with _told(theirs, path):
            found = theirs.look(path)
        if found is None:
            raise ObjectRefused(f"its object {path} is missing in the {theirs.name}")
        if transported.local == INLINE:
            spool = open_store(Store("spool", {"protocol": "file", "location": str(self._spool)}), "local")
            goal = self._spooled(source, transported).name
            return _Errand(theirs, spool, "", halt).file(
                path, found, goal, transported.hash, transported.size
            )
        ours = self.local(transported.local)
        errand = _Errand(theirs, ours, _scratch(ours.store, schema), halt, transported.shared)
        if not found.is_folder:
            return errand.file(path, found, transported.path, transported.hash, transported.size)
        return errand.folder(path, transported.path, self._files)


@dataclass(frozen=True, slots=True)
class _Halt:
    """Whether to stop: the person asked to, or another object of the batch met an error."""

    stop: threading.Event
    ended: threading.Event

    def check(self) -> None:
        if self.stop.is_set() or self.ended.is_set():
            raise Interrupted("stopped while an object was copied")


@dataclass(frozen=True, slots=True)
class _Errand:
    """Files from one store to another. `shared`: what stands at the goal may be somebody else's."""

    theirs: OpenStore
    ours: OpenStore
    scratch: str
    halt: _Halt
    shared: bool = False

    def file(
        self, path: str, found: Found, goal: str, hashed: str | None = None, size: int | None = None
    ) -> Brought:
        """Copy one file. Raises ObjectRefused, with nothing left behind."""
        self.halt.check()
        if found.is_folder:
            raise ObjectRefused(
                f"its object {path} is a folder in the {self.theirs.name}, and should be a file"
            )
        if size is not None and found.size != size:
            words = f"its object {path} has {found.size:,} bytes in the {self.theirs.name}, not {size:,}"
            raise ObjectRefused(words)
        if self._stands(path, found, goal, hashed):
            return Brought()
        digest = self._written(path, found, goal, hashed)
        with _told(self.ours, goal, writing=True):
            right = self._is(goal, digest, found.size)
            if not right:
                self.ours.remove(goal)
        if not right:
            raise StoreError(f"what was written to {goal} is not what was sent", server=self.ours.name)
        return Brought(1, found.size)

    def folder(self, path: str, goal: str, threads: ThreadPoolExecutor) -> Brought:
        """Copy a folder file by file, and DataJoint's list of its files last."""
        with _told(self.theirs, path):
            files = self.theirs.files(path)
            beside = self.theirs.look(path + MANIFEST)
            listed = b"".join(self.theirs.read(path + MANIFEST)) if beside else None
        for name, size in _listed(listed):
            if dict(files).get(name) != size:
                words = (
                    f"{path} in the {self.theirs.name} is not whole: {name} is missing or has another size"
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
        if self.ours.address(goal) == self.theirs.address(path):
            return True
        if hashed is None and not self.shared:
            return False
        with _told(self.ours, goal):
            there = self.ours.look(goal)
        if there is None:
            return False
        alike = not there.is_folder and there.size == found.size
        if alike:
            with _told(self.ours, goal):
                mine = _digest(self.ours, goal, self.halt)
            if hashed is not None:
                alike = _base32(mine) == hashed
            else:
                with _told(self.theirs, path):
                    alike = mine == _digest(self.theirs, path, self.halt)
        if not alike and self.shared:
            raise ObjectRefused(f"another file stands at {goal} in the {self.ours.name}")
        return alike

    def _written(self, path: str, found: Found, goal: str, hashed: str | None) -> bytes:
        digest, size = hashlib.md5(usedforsecurity=False), 0
        with _told(self.ours, goal, writing=True):
            upload = self.ours.begin(goal, found.size, self.scratch)
        try:
            for chunk in _reading(self.theirs, path):
                self.halt.check()
                digest.update(chunk)
                size += len(chunk)
                with _told(self.ours, goal, writing=True):
                    upload.write(chunk)
            if size != found.size or (hashed is not None and _base32(digest.digest()) != hashed):
                raise ObjectRefused(
                    f"its object {path} in the {self.theirs.name} is not what was stored there"
                )
            with _told(self.ours, goal, writing=True):
                upload.commit()
        except BaseException:
            upload.discard()
            raise
        return digest.digest()

    def _is(self, goal: str, digest: bytes, size: int) -> bool:
        there = self.ours.look(goal)
        if there is None or there.size != size:
            return False
        return there.tag == digest.hex() or _digest(self.ours, goal, self.halt) == digest


def _digest(store: OpenStore, path: str, halt: _Halt | None = None) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in store.read(path):
        if halt is not None:
            halt.check()
        digest.update(chunk)
    return digest.digest()


def _reading(store: OpenStore, path: str) -> Iterator[bytes]:
    chunks = store.read(path)
    while True:
        with _told(store, path):
            chunk = next(chunks, b"")
        if not chunk:
            return
        yield chunk


def _opened(store: Store, owner: str) -> OpenStore:
    try:
        return open_store(store, owner)
    except StoreError:
        raise
    except Exception as error:  # DataJoint's and its libraries' own
        name = f"store `{store.name}` of {owner} ({store.where})"
        raise StoreError(f"it cannot be opened: {error}", hint=_HINT, server=name) from error


def _scratch(store: Store, schema: str) -> str:
    """A folder for what is not whole yet, where DataJoint's garbage collection finds what a crash leaves."""
    return "/".join(step for step in (store.prefix("schema"), schema, SCRATCH) if step)


def _listed(text: bytes | None) -> list[tuple[str, int]]:
    """The files that DataJoint's list of a folder names; one that cannot be read names none."""
    with suppress(ValueError, KeyError, TypeError):
        return [(str(each["path"]), int(each["size"])) for each in json.loads(text or b"{}").get("files", ())]
    return []


def _base32(digest: bytes) -> str:
    """An MD5 as DataJoint writes it."""
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def _again(step: Callable[[], _T], halt: _Halt) -> _T:
    """Run a step, again where a store failed in a way that may pass."""
    for attempt in range(1, TRIES + 1):
        try:
            return step()
        except StoreError as error:
            if attempt == TRIES or not isinstance(error, _Passing):
                raise
            halt.stop.wait(0.2 * 4**attempt)
            halt.check()
    raise AssertionError("the last try returns or raises")


class _Passing(StoreError):
    """A failure of a store that may be gone when it is tried again."""


@contextmanager
def _told(store: OpenStore, path: str | None = None, *, writing: bool = False) -> Iterator[None]:
    """A store's own errors as djlink's. What a source lacks or keeps to itself concerns one entity only."""
    try:
        yield
    except DjlinkError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        if path is not None and not writing and store.of != "local":
            missing = isinstance(error, FileNotFoundError)
            state = "is missing in" if missing else "may not be read in"
            raise ObjectRefused(f"its object {path} {state} the {store.name}") from error
        raise StoreError(_words(store, error, writing), hint=_HINT, server=store.name) from error
    except OSError as error:
        kind = StoreError if error.errno in {*_FULL, errno.EROFS} else _Passing
        raise kind(_words(store, error, writing), hint=_HINT, server=store.name) from error
    except Exception as error:  # the libraries of each protocol have errors of their own
        raise _Passing(_words(store, error, writing), hint=_HINT, server=store.name) from error


_HINT = "see that it is there and its settings are right (docs/stores.md); then run djlink again"


def _words(store: OpenStore, error: Exception, writing: bool) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return "it is full"
    if number == errno.EROFS:
        return "it is read-only"
    told = next(iter(str(error).splitlines()), "") or type(error).__name__
    for secret in store.store.secrets:
        told = told.replace(secret, "***")
    return f"it cannot be {'written to' if writing else 'used'}: {told}"
