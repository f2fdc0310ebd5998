"""The stores of a run, and the threads that bring objects from a source's stores to local ones.

The links of one run share the threads, so that memory stays flat however many links run.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from djlink_manifest.errors import ObjectRefused, StoreError
from djlink_manifest.model.stores.external import Transport
from djlink_manifest.model.stores.store import INLINE, NoStore, Store, Stores
from djlink_manifest.retry import Retry
from djlink_manifest.servers.stores.copy_object import (
    MANIFEST,
    Brought,
    Halt,
    ObjectCopy,
    base32,
    digest_of,
    list_beside,
    listed,
)
from djlink_manifest.servers.stores.errors import HINT, TransientStoreError, store_errors
from djlink_manifest.servers.stores.open import open_store
from djlink_manifest.servers.stores.store import SCRATCH, Found, OpenStore

__all__ = ["Brought", "Sought", "StoreTransport"]

THREADS = 4
AGAIN = Retry(3, lambda failures: 0.2 * 4**failures, lambda error: isinstance(error, TransientStoreError))


@dataclass(frozen=True, slots=True)
class Sought:
    """An object that should lie in a store, by what its row says."""

    store: str
    path: str
    hash: str | None
    size: int | None


class StoreTransport:
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
                with store_errors(store):
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
        halt = Halt(stop, ended)
        work = {self._objects.submit(self._bring, source, o, schema, halt): o for o in objects}
        refused = dict[Transport, str]()
        pending: set[Future[Brought | str]] = set(work)
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in done:
                    found = future.result()
                    if isinstance(found, Brought):
                        each(found)
                    else:
                        refused[work[future]] = found
        except BaseException:
            ended.set()
            for future in pending:
                future.cancel()
            wait(pending)
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
        try:
            with store_errors(store, sought.path):
                return _is_at_fault(store, sought, reading)
        except ObjectRefused:
            return True

    def digest(self, source: str, name: str, path: str) -> bytes | None:
        """The MD5 of an object in a source's store; None where it is missing or may not be read.

        Raises StoreError where the store cannot be used.
        """
        store = self.source(source, name)
        try:
            with store_errors(store, path):
                return digest_of(store, path)
        except ObjectRefused:
            return None

    def content(self, transported: Transport) -> bytes:
        """The bytes of a value that goes into a row, once it was brought."""
        return self._spooled(transported).read_bytes()

    def forget(self, objects: Iterable[Transport]) -> None:
        """Take values that went into rows away again."""
        for each in objects:
            if each.local == INLINE:
                self._spooled(each).unlink(missing_ok=True)

    @property
    def _spool(self) -> Path:
        with self._guard:
            if self._put_aside is None:
                self._put_aside = tempfile.TemporaryDirectory(prefix="djlink-")
            return Path(self._put_aside.name)

    def _spooled(self, transported: Transport) -> Path:
        place = "\0".join((transported.path, transported.source, transported.source_path))
        return self._spool / hashlib.sha256(place.encode()).hexdigest()

    def _opened(self, owner: str, name: str, found: Store | NoStore) -> OpenStore:
        if isinstance(found, NoStore):
            raise StoreError(found.reason, hint=found.hint)
        with self._guard:
            if (owner, name) not in self._open:
                self._open[owner, name] = _opened(found, owner)
            return self._open[owner, name]

    def _tidy(self, stores: Iterable[str], schema: str) -> None:
        for name in stores:
            with suppress(StoreError, ObjectRefused):
                store = self.local(name)
                store.tidy(_scratch(store.store, schema))

    def _bring(self, source: str, transported: Transport, schema: str, halt: Halt) -> Brought | str:
        """Bring one object, or say why it cannot be brought."""
        try:
            return AGAIN.run(partial(self._carried, source, transported, schema, halt), halt.stop)
        except ObjectRefused as refused:
            return refused.message

    def _carried(self, source: str, transported: Transport, schema: str, halt: Halt) -> Brought:
        source_store, path = self.source(source, transported.source), transported.source_path
        with store_errors(source_store, path):
            found = _look(source_store, path)
        if found is None:
            raise ObjectRefused(f"its object {path} is missing in the {source_store.name}")
        if transported.local == INLINE:
            spool = open_store(Store("spool", {"protocol": "file", "location": str(self._spool)}), "local")
            goal = self._spooled(transported).name
            return ObjectCopy(source_store, spool, SCRATCH, halt).file(
                path, found, goal, transported.hash, transported.size
            )
        local = self.local(transported.local)
        object_copy = ObjectCopy(source_store, local, _scratch(local.store, schema), halt, transported.shared)
        if not found.is_folder:
            return object_copy.file(path, found, transported.path, transported.hash, transported.size)
        return object_copy.folder(path, transported.path, self._files)


def _opened(store: Store, owner: str) -> OpenStore:
    try:
        return open_store(store, owner)
    except StoreError:
        raise
    except Exception as error:  # DataJoint's and its libraries' own
        name = f"the store `{store.name}` of {owner} ({store.where})"
        raise StoreError(f"{name} cannot be opened: {error}", hint=HINT) from error


def _look(store: OpenStore, path: str) -> Found | None:
    """What lies at a path. A folder without files shows in no bucket, but DataJoint's list of it does."""
    return store.look(path) or (Found(0, is_folder=True) if store.look(path + MANIFEST) else None)


def _is_at_fault(store: OpenStore, sought: Sought, reading: bool) -> bool:
    found = _look(store, sought.path)
    if found is None or (sought.size is not None and found.size != sought.size):
        return True
    if not found.is_folder:
        return bool(reading and sought.hash and base32(digest_of(store, sought.path)) != sought.hash)
    beside = store.look(sought.path + MANIFEST)
    named = listed(list_beside(store, sought.path, beside))
    files = dict(store.files(sought.path)) if named else {}
    return any(files.get(name) != size for name, size in named)


def _scratch(store: Store, schema: str) -> str:
    """A folder for what is not whole yet, where DataJoint's garbage collection finds what a crash leaves."""
    return "/".join(step for step in (store.prefix("schema"), schema, SCRATCH) if step)
