"""One advisory lock per link on both of its servers.

A lock dies with its session: none is ever left behind.
"""

from __future__ import annotations

from contextlib import suppress

from djlink_manifest.errors import LinkLocked, ServerError
from djlink_manifest.model.link import Link
from djlink_manifest.model.naming import lock_name
from djlink_manifest.servers.connection import Session
from djlink_manifest.servers.marks import read_holder
from djlink_manifest.servers.sql import sql


class Locks:
    """The locks of one apply: held by one session per server, which serves nothing else."""

    def __init__(self, local: Session) -> None:
        self._local = local
        self._sources: dict[str, Session] = {}

    def add_source(self, name: str, session: Session) -> None:
        """The session that shall hold the locks on a source server."""
        self._sources[name] = session

    def take(self, link: Link, link_id: str) -> None:
        """Take the link's lock on both servers without waiting. LinkLocked says who has it."""
        name = lock_name(link_id)
        for session in (self._sources[link.source], self._local):
            if session.value(sql("SELECT GET_LOCK({}, 0)", name)) != 1:
                raise LinkLocked(
                    f"another djlink works on this link: {self._who(session, link, link_id)}",
                    link=link.address,
                    server=session.name,
                    hint="wait until it has ended, then run djlink apply again; its lock ends with it",
                )

    def _who(self, session: Session, link: Link, link_id: str) -> str:
        """Who has the lock: as the link's mark says, or, before there is a mark, as the server knows it."""
        with suppress(ServerError):  # there may be no mark yet, nor a table of marks
            holder = read_holder(self._sources[link.source], link.outbound_schema, link_id)
            if holder:
                return holder
        holding = session.value(sql("SELECT IS_USED_LOCK({})", lock_name(link_id)))
        # raw: statements are cut there, some within a character
        for number, user, host, _, _, seconds, *_ in list(session.stream(sql("SHOW PROCESSLIST"))):
            if holding is not None and number == str(holding).encode():
                who, whence, since = ((word or b"?").decode() for word in (user, host, seconds))
                return f"a session of {who} from {whence}, since {since} s ago"
        return "a session of another account, or one that has just ended"

    def check(self, link: Link, link_id: str, source: Session, local: Session) -> None:
        """Make sure, through the working sessions, that both locks are still ours. Raises LinkLocked."""
        name = lock_name(link_id)
        for working, holding in ((source, self._sources[link.source]), (local, self._local)):
            if working.value(sql("SELECT IS_USED_LOCK({})", name)) != holding.id:
                raise LinkLocked(
                    "the session that held the link's lock has ended",
                    link=link.address,
                    server=working.name,
                    hint="what was committed stays; run djlink apply again",
                )
