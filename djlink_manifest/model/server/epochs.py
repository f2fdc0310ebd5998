"""Which local server a link belongs to: the epochs in its two marks, and how a server is recognised.

Host name, port and data directory change when a container is made anew, and are equal in a copy. So each
apply that writes gives the link's two marks a new epoch, a number and a random word. A copy of the local
server keeps the epoch that it was copied with: once the server or its copy has applied, the source's mark has
an epoch that the other one never wrote.

An epoch moves in three steps, each committed alone: the local mark announces the next one, the source's mark
takes it, the local mark takes it. After a crash the source's epoch is the local one or the announced one. Any
other was written by another server, or one of the two marks was restored from a backup.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from djlink_manifest.model.server.catalog import Mark, ServerIdentity, fingerprint

# `own`: this server is the link's. `other`: another one has applied since. The rest is not sure until a
# person confirms it: `moved`, the source knows the server by another fingerprint; `renamed`, by another
# stated identity; `remade`, this server has no epoch of the link; `older source`, the source's mark has one
# of before.
Verdict: TypeAlias = Literal["own", "moved", "renamed", "remade", "older source", "other"]


@dataclass(frozen=True, slots=True)
class LocalServer:
    """The local server as marks name it. `identity` is what the manifest calls it, None for nothing.

    `fingerprints` are that which marks get, and that of servers which do not tell their uuid.
    """

    hostname: str
    fingerprints: tuple[str, ...]
    identity: str | None = None

    @property
    def fingerprint(self) -> str:
        """The fingerprint that marks get."""
        return self.fingerprints[0]

    def is_named_by(self, mark: Mark) -> bool:
        """Whether a mark names this server by its fingerprint."""
        return mark.fingerprint in self.fingerprints

    def noted_in(self, mark: Mark) -> bool:
        """Whether a mark says of this server all that it can say."""
        return self.is_named_by(mark) and mark.identity == self.identity


def local_server(identity: ServerIdentity, stated: str | None = None) -> LocalServer:
    """Return the local server that says this of itself. `stated` is `local.identity` of the manifest."""
    words = (fingerprint(identity), fingerprint(replace(identity, uuid="")))
    return LocalServer(identity.hostname, words, stated)


@dataclass(frozen=True, slots=True)
class EpochState:
    """What the two marks of a link say of its local server, as a plan saw it.

    `source`, `local` and `announced` are the epochs. `marked`: both marks stand. `lacks` are the sides whose
    table of marks was made by an earlier version and has no columns for epochs. `server` is the host name of
    the server that the source's mark is for; `note` says why the marks are to say anew which server this is,
    None where they need not.
    """

    verdict: Verdict = "own"
    source: str | None = None
    local: str | None = None
    announced: str | None = None
    marked: bool = False
    lacks: frozenset[Literal["source", "local"]] = frozenset()
    server: str = ""
    note: str | None = None

    @property
    def is_confirmed(self) -> bool:
        """Whether this server may release, approve and delete."""
        return self.verdict == "own"

    @property
    def moves(self) -> bool:
        """Whether an apply moves the epoch: not for a server that nobody has confirmed."""
        return self.is_confirmed and self.marked and not self.lacks


OWN = EpochState()


def judged(source: Mark | None, local: Mark | None, server: LocalServer) -> Verdict:
    """Whose the link of these marks is. Without a mark at the source it is whose the local mark says."""
    if source is None:
        return "own" if local is None else _named(local, server)
    if source.epoch is not None and (local is None or (local.epoch or local.epoch_next) is None):
        return "remade"
    before = local.epoch if local is not None else None
    announced = local.epoch_next if local is not None else None
    if source.epoch == before or (announced is not None and source.epoch == announced):
        return _named(source, server)
    return "older source" if number_of(source.epoch) < number_of(before) else "other"


def _named(mark: Mark, server: LocalServer) -> Verdict:
    if server.identity is not None and mark.identity is not None:
        return "own" if server.identity == mark.identity else "renamed"
    # a manifest that names its server for the first time confirms it
    return "own" if server.identity is not None or server.is_named_by(mark) else "moved"


def number_of(epoch: str | None) -> int:
    """Return how many epochs there were up to this one; 0 for none."""
    head = (epoch or "").partition(".")[0]
    return int(head) if head.isascii() and head.isdigit() and len(head) < 12 else 0


def next_epoch(epochs: Iterable[str | None]) -> str:
    """Return an epoch that nobody wrote yet, later than all of these."""
    return f"{1 + max(map(number_of, epochs), default=0)}.{secrets.token_hex(16)}"
