"""Keys that are kept in memory from one session to the next."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

from djlink_manifest.servers.session.session import RawRow


class PackedKeys:
    """Keys kept from one session to the next: some ten bytes each, since they are many at worst."""

    def __init__(self, keys: Iterable[RawRow] = ()) -> None:
        self._batches = list[bytes]()
        self.count = 0
        self.add(keys)

    def add(self, keys: Iterable[RawRow]) -> None:
        """Add keys, raw, in key order of columns."""
        rest = iter(keys)
        while batch := list(islice(rest, 10_000)):
            self._batches.append(zlib.compress(pickle.dumps(batch), 1))
            self.count += len(batch)

    def __iter__(self) -> Iterator[RawRow]:
        for batch in self._batches:
            yield from pickle.loads(zlib.decompress(batch))
