"""The class of a linked table: DataJoint's table on the lab's own connection, and what a link adds to it."""

from __future__ import annotations

from typing import Any, Literal

from djlink_manifest.api import runs
from djlink_manifest.api.adopting import adopt
from djlink_manifest.api.connecting import not_in_transaction
from djlink_manifest.api.homes import Home, Tables
from djlink_manifest.api.restricting import condition_of
from djlink_manifest.api.results import Pulled, Status
from djlink_manifest.api.tables import ReadOnly, SourceTable, bound, outbound_class, renew
from djlink_manifest.api.unlinking import TakenOut, unlink
from djlink_manifest.errors import UsageError


class Deleting:
    """A linked table or a part of one: what is deleted here is told to the source."""

    _home: Home

    def delete(
        self, transaction: bool = True, prompt: bool | None = None, part_integrity: str = "enforce"
    ) -> int:
        """Delete as DataJoint does, with its prompt and its cascade; then approve or release at the source.

        What the source asked to delete is approved, the rest released, of linked descendants too: from then
        on the source may delete it. Raises what bars that before anything is deleted: Unreachable,
        LinkLocked, LinkRefused; UsageError inside a transaction. Raises SourceNotTold where the source was
        lost after the rows were deleted.
        """
        this: Any = self
        not_in_transaction(this.connection, "deleting linked rows")
        with runs.deleting(self._home) as committed:
            try:
                # DataJoint's own, of the class that stands beside this one
                count: int = super(Deleting, _by_keys(this)).delete(  # type: ignore[misc]
                    transaction=transaction, prompt=prompt, part_integrity=part_integrity
                )
            except BaseException:
                if this.connection.in_transaction:  # a prompt that could not be answered leaves it open
                    this.connection.cancel_transaction()
                raise
            if count:
                committed()
        return count


def _by_keys(table: Any) -> Any:
    """The table restricted by keys where it is restricted by another table.

    DataJoint deletes the leaves first, and cannot carry such a condition to them: what is restricted by one
    of its own parts, `DeletionRequested` above all, would not be found any more.
    """
    if any("SELECT" in str(each) for each in table.restriction):
        return table.__class__() & list(table.keys())
    return table


class LinkedPart(Deleting):
    """A part of a linked table."""


class Linked(Deleting):
    """A table linked to one of another lab's server. Beside DataJoint's own it has these:

    `source` (the source table, to browse), `pull`, `refresh`, `status`, `DeletionRequested` (a part) and
    `outbound` (what the source's server holds for us).
    """

    _tables: Tables
    _part_bases: tuple[type, ...]

    def delete_quick(self, get_count: bool = False) -> int | None:
        """Delete without prompt and cascade, as DataJoint does, and tell the source as `delete` does."""
        this: Any = self
        not_in_transaction(this.connection, "deleting linked rows")
        with runs.deleting(self._home) as committed:
            table = _by_keys(this) if this._top is None else this.__class__() & list(this.keys())
            count: int = super(Linked, table).delete_quick(get_count=True)  # type: ignore[misc]
            if count:
                committed()
        return count if get_count else None

    def pull(self, *restrictions: Any, display_progress: bool = True) -> Pulled:
        """Pull the entities that meet all restrictions, are not here, and are not asked to be deleted.

        Restrictions are DataJoint's and mean what they mean for `source`; without any, all is pulled. A
        table is pulled as far as its linked parents are here: pull these first. What was done is returned.
        Raises UsageError for a restriction that the source does not have and inside a transaction,
        LinkRefused where nothing of what was asked for can come, LinkLocked while another djlink works on
        the link, PullFailed where it fails midway; pulling again goes on from there.
        """
        this: Any = self
        if this.restriction or this._top is not None:
            raise UsageError("`pull` takes its restrictions as arguments", hint="Table().pull(restriction)")
        not_in_transaction(this.connection, "pulling")
        where = condition_of(self.source, restrictions) if restrictions else None
        pulled, changed = runs.pull(self._home, where, display_progress)
        if changed:
            renew(this.__class__, self._tables.local[0], this.connection, self._part_bases, requested=True)
        return pulled

    def refresh(self) -> int:
        """Bring `DeletionRequested` up to date with the source's requests; how many of them are here.

        A request whose entity is gone here is approved. Raises UsageError inside a transaction.
        """
        this: Any = self
        not_in_transaction(this.connection, "refreshing")
        runs.refresh(self._home)
        return len(this.DeletionRequested())

    def status(self, *, verify: bool = False) -> Status:
        """How the link stands: entities at the source, held there and here, to pull, asked to be deleted.

        `verify` compares the rows here with the source's too, by digests.
        """
        return runs.status(self._home, verify)

    def in_the_way(self) -> list[Any]:
        """Rows of the lab's own tables that keep entities of this link from being refilled.

        They refer to part rows that the source has no longer, or to values that changed there. A list of
        DataJoint tables, each restricted to such rows, to be looked at and deleted. Raises LinkRefused,
        Unreachable.
        """
        from datajoint import FreeTable

        this: Any = self
        found = []
        for (schema, name), keys in runs.in_the_way(self._home).items():
            of = ".".join("`" + each.replace("`", "``") + "`" for each in (schema, name))
            found.append(FreeTable(this.connection, of) & keys)
        return found

    @property
    def source(self) -> Any:
        """The source table with its parts, read by the link user; `flagged` are asked to be deleted."""
        this: Any = self
        kept = this.__class__.__dict__.get("_source")
        connection = self._home.source_connection()
        if kept is None or kept._connection is not connection:
            members = {
                "__doc__": f"{self._home.address}, at the source.",
                "__module__": this.__class__.__module__,
                "_outbound": self._tables.requested,
            }
            kept = bound(
                self._home.name,
                self._tables.source,
                connection,
                members=members,
                bases=(SourceTable,),
                part_bases=(ReadOnly,),
            )
            this.__class__._source = kept
        return kept()

    @property
    def outbound(self) -> Any:
        """The keys held at the source, with `DeletionRequested` and `DeletionApproved`."""
        this: Any = self
        kept = this.__class__.__dict__.get("_outbound")
        connection = self._home.source_connection()
        if kept is None or kept._connection is not connection:
            schema, table = self._tables.outbound
            names = (schema, table, self._tables.requested[1], self._tables.approved[1])
            kept = this.__class__._outbound = outbound_class(self._home.name, *names, connection)
        return kept()

    def adopt(self) -> bool:
        """Confirm that this local server is the one that the link, and those that it needs, belong to.

        For a server that was moved or restored from a backup, after a look: from then on the server that
        applied before is refused. Returns whether there was anything to confirm. Raises UsageError inside a
        transaction, LinkRefused where the tables do not fit, and LinkLocked.
        """
        this: Any = self
        not_in_transaction(this.connection, "adopting a link")
        return adopt(self._home)

    def unlink(self, table: Literal["keep", "drop"] = "keep", *, prompt: bool | None = None) -> bool:
        """Take the link out: the source's rows are let go, and this class is no linked one any more.

        The local table stays as one of the lab's own (`keep`), or goes with its rows (`drop`). `prompt` asks
        before that, by default as DataJoint's `safemode` says; False is returned where the answer was no.
        Raises UsageError inside a transaction, and for a manifest's link; with nothing done LinkRefused where
        tables of the lab's own need the one to drop, and LinkLocked while another djlink works on it;
        UnlinkFailed where it fails midway: unlinking again goes on from there.
        """
        this: Any = self
        if table not in ("keep", "drop"):
            raise UsageError(f"unlink: `table` is 'keep' or 'drop', not {table!r}")
        if this.restriction or this._top is not None:
            raise UsageError("a link can be removed only as a whole", hint=f"{self._home.name}().unlink()")
        not_in_transaction(this.connection, "removing a link")
        if not unlink(self._home, table, prompt):
            return False
        gone = TakenOut(self._home.name, self._home.address)
        for cls in (this.__class__, *self._part_bases):
            cls._home = gone
        return True

    def drop(self, *args: Any, **options: Any) -> None:
        """Refused: dropping the local table alone would leave the rows held at the source for ever."""
        raise UsageError(
            "a linked table cannot be dropped, because its rows would stay held at the source",
            hint='delete its rows, which releases them, or remove the link with `unlink(table="drop")`',
        )

    drop_quick = alter = drop


def linked_class(name: str, home: Home, tables: Tables, members: dict[str, Any]) -> Any:
    """The class of a linked table that stands, with its parts and the members that a person gave it."""
    part_bases = (type("Part", (LinkedPart,), {"_home": home}),)
    own = {**members, "_home": home, "_tables": tables, "_part_bases": part_bases}
    return bound(
        name,
        tables.local,
        home.connection,
        members=own,
        bases=(Linked,),
        part_bases=part_bases,
        requested=True,
    )
