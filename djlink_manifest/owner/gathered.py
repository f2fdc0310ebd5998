"""Entities that an owner named, with all that hang on them, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from djlink_manifest.errors import DjlinkError, ServerError
from djlink_manifest.model.links.dependents import Tie, children_first, cut, own_columns
from djlink_manifest.model.links.holding import Done, OwnedLink, TableHolding
from djlink_manifest.model.server.catalog import TableName
from djlink_manifest.owner.directory import Directory
from djlink_manifest.retry import Retry
from djlink_manifest.servers.owner import statements, views
from djlink_manifest.servers.owner.key_sets import KeySets
from djlink_manifest.servers.session.error_words import BROKEN_VIEW, NO_DEFINER, REFERENCED
from djlink_manifest.servers.session.errors import is_transient_in_session
from djlink_manifest.servers.session.session import Isolation

AGAIN = Retry(4, lambda failures: 0, is_transient_in_session)


class Gathered:
    """Sets of entities by table: those named, and those that hang on them."""

    def __init__(self, directory: Directory, sets: KeySets, root: TableName, along: Sequence[Tie]) -> None:
        self._directory = directory
        self._sets = sets
        self._along = along
        self.root = root

    @property
    def named(self) -> int:
        """How many entities were named."""
        return self._sets.of(self.root).count

    def holdings(self, purpose: str = "all") -> tuple[TableHolding, ...]:
        """Each table with how many of its entities are concerned and what each link has of them.

        What hangs on others comes first.
        """
        return tuple(
            TableHolding(
                place,
                self._directory.words(place),
                self._sets.of(place, purpose).count,
                self._directory.holdings(place, self._sets.of(place, purpose)),
            )
            for place in self._ordered(purpose)
        )

    def held_keys(self, most: int = 1000) -> list[dict[str, str]]:
        """The entities that are held: key, since when and by whom; of each link at most so many.

        Values that are no text are in hexadecimal.
        """
        found = list[dict[str, str]]()
        for place in self._ordered():
            names = self._directory.masters[place].key
            for link in self._directory.links.get(place, ()):
                for row in statements.held_keys(self._directory.session, link, self._sets.of(place), most):
                    *key, since = (_shown(value) for value in row)
                    pairs = ", ".join(f"{n}={v}" for n, v in zip(names, key, strict=True))
                    told = {"table": self._directory.words(place), "key": pairs, "manifest": link.manifest}
                    found.append({**told, "contact": link.contact, "since": since})
        return found

    def request(self, reason: str) -> list[Done]:
        """Ask every link for all of them, in one transaction; what was asked for before stays as it is.

        Raises DjlinkError where the views of a link cannot be written.
        """
        directory, session = self._directory, self._directory.session
        links = [(p, link) for p in self._ordered() for link in directory.links.get(p, ())]
        fresh = [self._sets.of(place, f"new{n}") for n, (place, _) in enumerate(links)]

        def work() -> list[Done]:
            done = list[Done]()
            for (place, link), new in zip(links, fresh, strict=True):
                with self._writable(link):
                    count = statements.request(session, link, self._sets.of(place), new, reason)
                done.append(Done(place, directory.words(place), count, link))
            return done

        return self._commit(work)

    def withdraw(self, *, approved: bool = False) -> list[Done]:
        """Withdraw the requests for them that are not approved; with `approved` also permit pulling again.

        In one transaction, with an entry in the ledger for each request. Raises DjlinkError where the views
        of a link cannot be written.
        """
        directory, session = self._directory, self._directory.session

        def work() -> list[Done]:
            done = list[Done]()
            for place in self._ordered():
                members = self._sets.of(place)
                for link in directory.links.get(place, ()):
                    with self._writable(link):
                        permitted = statements.permit(session, link, members) if approved else 0
                        count = statements.withdraw(session, link, members)
                    done.append(Done(place, directory.words(place), max(count, permitted), link))
            return done

        # so that a lab that approves meanwhile is waited for, and its approval is seen
        return self._commit(work, "REPEATABLE READ")

    @contextmanager
    def _writable(self, link: OwnedLink) -> Iterator[None]:
        """Raise DjlinkError where a view of the link is broken, not created yet, or dropped already."""
        try:
            yield
        except ServerError as error:
            if error.code not in BROKEN_VIEW | NO_DEFINER:
                raise
            broken = views.unreadable(self._directory.session, f"{link.schema} ({link.base})", error)
            words = f"{broken.schema} cannot be written, so nothing was changed: {broken.reason}"
            raise DjlinkError(words, hint=broken.hint) from error

    def free(self) -> None:
        """Choose, of those named, the ones that no link holds, nor anything that hangs on them.

        They, with all that hang on them, are the purpose `free` from now on. Raises DjlinkError where the
        views of a link do not say what it holds.
        """
        sets, directory = self._sets, self._directory
        for place in sets.filled():
            for link in directory.links.get(place, ()):
                try:
                    statements.add_held(link, sets.of(place), sets.of(place, "held"))
                except ServerError as error:
                    raise unknown_rows(directory, link, f"that {link.lab} holds", error) from error
        sets.climb(self._along, "held")
        sets.of(self.root, "free").add_new(statements.without(sets.of(self.root), sets.of(self.root, "held")))
        sets.spread(self._along, "free")

    @property
    def freed(self) -> int:
        """How many of those named are free."""
        return self._sets.of(self.root, "free").count

    def delete(self) -> list[Done]:
        """Delete what is free from the source, what hangs on others first, in one transaction.

        Where foreign keys form a circle, those of the deleted rows that may be NULL are set to NULL before.
        Raises ServerError, with nothing deleted, where something refers to them all the same.
        """
        session, sets = self._directory.session, self._sets
        free = set(sets.filled("free"))
        opened = cut([t for t in self._along if {t.child, t.parent} <= free])

        def work() -> list[Done]:
            for tie in opened:
                statements.set_null(session, tie, sets.of(tie.child, "free"))
            order = children_first(free, [t for t in self._along if t not in opened])
            return [Done(p, self._directory.words(p), self._delete(p)) for p in order]

        try:
            return self._commit(work)
        except ServerError as error:
            if error.code in REFERENCED:
                raise ServerError(
                    f"nothing was deleted: other rows still refer to these rows ({error.message})",
                    code=error.code,
                    server=session.name,
                    hint="a lab pulled some of them in the meantime, or a table that this account cannot "
                    "see refers to them; run `djlink source held`, then try again",
                ) from error
            raise

    def _commit(self, work: Callable[[], list[Done]], isolation: Isolation = "READ COMMITTED") -> list[Done]:
        """Do the work in one transaction, again where it met a deadlock or waited too long for a lock."""

        def once() -> list[Done]:
            with self._directory.session.transaction(isolation):
                return work()

        return AGAIN.run(once)

    def _delete(self, place: TableName) -> int:
        session, members = self._directory.session, self._sets.of(place, "free")
        master = self._directory.masters[place]
        for part in reversed(master.parts):
            own = own_columns(master, part)
            if own is not None:
                statements.delete_rows(session, part, own, members)
        itself = [t for t in self._along if t.child == t.parent == place and t.table is master is t.named]
        if not itself:
            return statements.delete_rows(session, master, master.key, members)
        joins = [
            statements.referring(master, list(zip(t.key.columns, t.key.parent_columns, strict=True)), number)
            for number, t in enumerate(itself)
        ]
        count = 0
        while gone := statements.delete_leaves(session, master, joins, members):
            count += gone
        if statements.has_rows(session, master, members):
            for tie in itself:
                statements.set_null(session, tie, members)
        return count + statements.delete_rows(session, master, master.key, members)

    def _ordered(self, purpose: str = "all") -> list[TableName]:
        return children_first(self._sets.filled(purpose), self._along)


def _shown(value: bytes | None) -> str:
    if value is None:
        return "NULL"
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "0x" + value.hex()


def unknown_rows(directory: Directory, link: OwnedLink, which: str, error: ServerError) -> DjlinkError:
    """Return the error for a link whose views cannot be read; `which` says of which rows they would tell."""
    dumb = views.unreadable(directory.session, f"{link.schema} ({link.base})", error)
    words = f"{dumb.schema} cannot be read, so the rows {which} are unknown: {dumb.reason}"
    return DjlinkError(words, hint=dumb.hint)
