"""What goes wrong with stores, as djlink's errors; no message shows a secret."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from djlink_manifest.errors import DjlinkError, ObjectRefused, StoreError
from djlink_manifest.model.server.masking import MASK, masked
from djlink_manifest.servers.stores.store import OpenStore

MOST_SAID = 500  # characters of a store's own words
HINT = "check that it exists and that its settings are correct (docs/stores.md); then run djlink again"

_FULL = {errno.ENOSPC, errno.EDQUOT}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.ELOOP}  # one object's place, and no fault of the store


class TransientStoreError(StoreError):
    """A failure of a store that may be gone when it is tried again."""


@contextmanager
def store_errors(store: OpenStore, path: str | None = None, *, writing: bool = False) -> Iterator[None]:
    """A store's own errors as djlink's. What a source lacks or keeps to itself concerns one entity only."""
    try:
        yield
    except DjlinkError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        if path is not None and not writing and store.of != "local":
            missing = isinstance(error, FileNotFoundError)
            state = "is missing in" if missing else "cannot be read in"
            raise ObjectRefused(f"its object {path} {state} the {store.name}") from error
        raise StoreError(_words(store, error, path, writing), hint=HINT) from error
    except OSError as error:
        if path is not None and error.errno in _IN_THE_WAY:
            words = f"in the {store.name}, {path} needs a file or a folder where something else exists"
            raise ObjectRefused(words) from error
        kind = StoreError if error.errno in {*_FULL, errno.EROFS} else TransientStoreError
        raise kind(_words(store, error, path, writing), hint=HINT) from error
    except Exception as error:  # the libraries of each protocol have errors of their own
        raise TransientStoreError(_words(store, error, path, writing), hint=HINT) from error


def _words(store: OpenStore, error: Exception, path: str | None, writing: bool) -> str:
    """What the store said, without its secrets, and without the path, which may hold a key."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        return f"the {store.name} is full"
    if number == errno.EROFS:
        return f"the {store.name} is read-only"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = masked(text, store.store.secrets)
    if path:
        text = text.replace(path, MASK)
    text = next(iter(text.splitlines()), "") or type(error).__name__
    text = text if len(text) <= MOST_SAID else f"{text[:MOST_SAID]}…"
    return f"the {store.name} cannot be {'written to' if writing else 'used'}: {text}"
