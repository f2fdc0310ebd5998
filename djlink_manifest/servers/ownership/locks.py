"""One advisory lock per link on each of its two sides, which may be one server.

A lock dies with its session: none is ever left behind. Where the session is lost, each link takes its lock
again in a new one, before it goes on.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from djlink_manifest.errors import ConnectionLost, LinkLocked, ServerError
from djlink_manifest.model.server.address import ServerAddress
from djlink_manifest.model.tables.naming import Side, lock_name
from djlink_manifest.servers.ownership.marks import read_holder
from djlink_manifest.servers.session.checked_values import an_optional_number, anything
from djlink_manifest.servers.session.login import open_session
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import sql


def is_same_server(one: Session, other: Session) -> bool:
    """Whether two sessions are of one server: what the one locks is seen by the other."""
    name = f"djlink-same:{secrets.token_hex(16)}"
    one.value(sql("SELECT GET_LOCK({}, 0)", name), anything)
    try:
        return bool(other.value(sql("SELECT IS_USED_LOCK({})", name), an_optional_number) == one.id)
    finally:
        one.value(sql("SELECT RELEASE_LOCK({})", name), anything)


class Lockable(Protocol):
    """A link that can be locked: one of the manifest, or one that is taken out of it."""

    @property
    def address(self) -> str:
        """Its address."""

    @property
    def source(self) -> str:
        """The source's name."""

    @property
    def outbound_schema(self) -> str:
        """The schema of its outbound table, where its mark is."""


class Locks:
    """The locks of one apply: held by one session per server, which serves nothing else."""

    def __init__(self, local: ServerAddress, sources: Iterable[ServerAddress]) -> None:
        self._local = local.name
        self._addresses = {address.name: address for address in (*sources, local)}
        self._sessions: dict[str, Session] = {}
        self._guard = threading.Lock()  # links take their locks again in threads of their own

    def take(self, link: Lockable, link_id: str) -> None:
        """Take the link's lock on both sides without waiting, or again. LinkLocked says who has it."""
        with self._guard:
            self._take(link.source, "source", link, link_id)
            self._take(self._local, "local", link, link_id)

    def holder(self, link: Lockable, link_id: str) -> str | None:
        """Say who has the link's lock on either side, None where nobody has. Nothing is taken."""
        with self._guard:
            sides: tuple[tuple[str, Side], ...] = ((link.source, "source"), (self._local, "local"))
            for name, side in sides:
                session = self._opened(name)
                query = sql("SELECT IS_USED_LOCK({})", lock_name(link_id, side))
                try:
                    used = session.value(query, an_optional_number)
                except ConnectionLost:
                    self._sessions.pop(name).close()
                    used = self._opened(name).value(query, an_optional_number)
                if used is not None:
                    return self._who(self._sessions[name], side, link, link_id)
        return None

    def _opened(self, name: str) -> Session:
        if name not in self._sessions:
            self._sessions[name] = open_session(self._addresses[name], Session)
        return self._sessions[name]

    def _take(self, name: str, side: Side, link: Lockable, link_id: str) -> None:
        take = sql("SELECT GET_LOCK({}, 0)", lock_name(link_id, side))
        if name in self._sessions:
            try:
                taken = self._sessions[name].value(take, an_optional_number)
            except ConnectionLost:
                self._sessions.pop(name).close()  # and every lock with it
        if name not in self._sessions:
            taken = self._opened(name).value(take, an_optional_number)
        if taken != 1:
            raise LinkLocked(
                f"another djlink works on this link: {self._who(self._sessions[name], side, link, link_id)}",
                link=link.address,
                server=name,
                hint="wait until it has ended, then run `djlink apply` again; its lock ends with it",
            )

    def _who(self, session: Session, side: Side, link: Lockable, link_id: str) -> str:
        """Who has the lock: as the link's mark says, or, before there is a mark, as the server knows it."""
        with suppress(ServerError):  # there may be no mark yet, nor a table of marks
            holder = read_holder(self._sessions[link.source], link.outbound_schema, link_id)
            if holder:
                return holder
        holding = session.value(sql("SELECT IS_USED_LOCK({})", lock_name(link_id, side)), an_optional_number)
        # raw: statements are cut there, some within a character
        for number, user, host, _, _, seconds, *_ in session.raw_rows(sql("SHOW PROCESSLIST")):
            if holding is not None and number == str(holding).encode():
                who, whence, since = (
                    (word or b"?").decode(errors="replace")[:255] for word in (user, host, seconds)
                )
                return f"a session of {who} from {whence}, since {since} s ago"
        return "a session of another account, or one that has just ended"

    def check(self, link: Lockable, link_id: str, source: Session, local: Session) -> None:
        """Make sure, through the working sessions, that both locks are still ours. Raises ConnectionLost."""
        sides: tuple[tuple[Side, Session, str], ...] = (
            ("source", source, link.source),
            ("local", local, self._local),
        )
        for side, working, place in sides:
            holding, query = (
                self._sessions.get(place),
                sql("SELECT IS_USED_LOCK({})", lock_name(link_id, side)),
            )
            if holding is None or working.value(query, an_optional_number) != holding.id:
                raise ConnectionLost(
                    "the session that held the link's lock has ended",
                    link=link.address,
                    server=working.name,
                    hint="committed changes are kept; run `djlink apply` again",
                )

    def close(self) -> None:
        """Give all locks back."""
        for session in self._sessions.values():
            session.close()
