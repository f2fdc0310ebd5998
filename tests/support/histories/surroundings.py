"""What changes around the links of a random history: rights, names, and a source that is restored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from djlink_manifest.sandbox.servers.accounts import grant_pattern, quoted_name
from tests.support.histories.dumps import copied, restore, tables_of
from tests.support.histories.history import History
from tests.support.histories.model import below
from tests.support.histories.place import MASTERS, NAME, OTHER_NAME, PARTS, SOURCE, Place, parts_of
from tests.support.sql import ask

kills = st.one_of(st.none(), st.integers(1, 12))


class Surroundings(History):
    """A history with these among its events."""

    @rule(table=st.sampled_from(SOURCE), at=kills)
    def an_apply_without_a_right(self, table: str, at: int | None) -> None:
        """Of a table or a part that the link user sees no longer nothing comes; then the right is back."""
        master = "session" if table in PARTS else table
        if not self.place.is_linked(master):
            return  # a part that nobody knows of is not missed
        before = {t: self.place.keys(t) for t in MASTERS}
        with without_a_right(self.place, table):
            self.is_blind = True
            self.apply(at=at)
            self.is_blind = False
        self.told["rights taken"] += 1
        for each in [master] if table in PARTS else below(master):
            more = self.place.keys(each) - before[each]
            assert not more, f"{more} of {each} pulled though {table} cannot be seen"

    @precondition(lambda self: not self.out and not self.is_moving)
    @rule(at=kills)
    def the_source_gets_another_name(self, at: int | None) -> None:
        """In the manifest and its approvals; an apply renames the marks, and may be killed."""
        place, former = self.place, self.place.name
        self.copy, place.torn = {}, True
        place.name = OTHER_NAME if former == NAME else NAME
        self.moved, self.is_moving = ({"from": former, "to": place.name},), True
        self.agreed = [each.renamed(former, place.name) for each in self.agreed]
        self.void = [each.renamed(former, place.name) for each in self.void]
        self.told["sources renamed"] += 1
        before = place.at_source(), place.at_lab(), [place.keys(t) for t in MASTERS]
        self.apply(at=at)
        assert before == (place.at_source(), place.at_lab(), [place.keys(t) for t in MASTERS])

    @rule()
    def owner_makes_a_copy(self) -> None:
        """A dump of the source's server, with what djlink has there."""
        server, rig = self.place.rig.servers.lab_a, self.place.rig
        names = [*tables_of(server, rig.outbound), *tables_of(server, rig.names("lab"))]
        self.copy_of_source = copied(server, names)

    @precondition(lambda self: not self.out and not self.is_moving)
    @rule()
    def the_copy_of_the_source_is_restored(self) -> None:
        """After a lost disk; the lab has gone on meanwhile. Nothing of it goes before somebody has looked."""
        place = self.place
        if not self.copy_of_source:
            self.owner_makes_a_copy()
            self.source_inserts_a_session(5, 1, 1, 1)
            self.apply()
        self.copy, place.torn = {}, True
        before = place.at_source()
        restore(place.rig.servers.lab_a, self.copy_of_source)
        # the keys of rows that the copy lacks, or does not protect, and what it tells of the past
        source, lab = place.at_source(), place.at_lab()
        for table in MASTERS:
            self.loose[table] |= {row[0] for row in lab[table]} - place.keys(table)
            self.ledgers[table] = place.ledger(table)
        self.odd |= {s for s, _ in lab["session"] if parts_of(lab, s) != parts_of(source, s)}
        addresses = [place.address(table) for table in MASTERS if table not in self.out]
        assert not self.runs("adopt", *addresses, "-f", str(self.write()), "--auto-approve")
        self.told["sources restored"] += before != source


@contextmanager
def without_a_right(place: Place, table: str) -> Iterator[None]:
    """The link user has its rights on each table of the source but this one."""
    server, rights = place.rig.servers.lab_a, "SELECT, REFERENCES"
    name = place.rig.names("lab")
    schema, whole, user = quoted_name(name), grant_pattern(name), quoted_name(place.rig.names("link"))
    others = [each for each in SOURCE if each != table]
    for other in others:
        ask(server, f"GRANT {rights} ON {schema}.{other} TO {user}@'%'")
    ask(server, f"REVOKE {rights} ON {whole}.* FROM {user}@'%'")
    try:
        yield
    finally:
        ask(server, f"GRANT {rights} ON {whole}.* TO {user}@'%'")
        for other in others:
            ask(server, f"REVOKE {rights} ON {schema}.{other} FROM {user}@'%'")
