"""Work on several things at once, in threads that a Ctrl-C does not wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def each(work: Callable[[_T], _R], items: Iterable[_T], most: int) -> list[_R]:
    """What `work` returns for each item, in the order of the items; at most so many are worked on at once.

    The first exception is raised once all threads have ended. But a Ctrl-C is raised at once: one of them may
    be waiting for a server that does not answer.
    """
    threads = ThreadPoolExecutor(max(1, most), thread_name_prefix="djlink")
    try:
        found = list(threads.map(work, items))
    except KeyboardInterrupt:
        threads.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        threads.shutdown(cancel_futures=True)
        raise
    threads.shutdown()
    return found
