"""Whole courses of events, each of them one rule, since chance alone seldom brings their parts together."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.histories.people import MEANWHILE, few, nth, tables
from tests.support.histories.place import MASTERS
from tests.support.histories.surroundings import Surroundings


class Courses(Surroundings):
    """A history with these among its events."""

    @rule(
        table=tables,
        n=few,
        by_sql=st.booleans(),
        meanwhile=st.sampled_from(MEANWHILE),
        killed=st.sampled_from([None, None, 1, 2, 3, 4, 5, 6]),
        sent=st.booleans(),
    )
    def a_deletion_is_asked_for_approved_applied_and_done(
        self, table: str, n: int, by_sql: bool, meanwhile: str, killed: int | None, sent: bool
    ) -> None:
        """Of two entities that are held; between approval and apply the set may change."""
        held = {t: self.place.keys(t) for t in MASTERS if t not in self.out}
        usable = [t for t in (table, *held) if held.get(t)]
        if not usable:
            return
        table = usable[0]
        one, other = nth(table, held[table], n), nth(table, held[table], n + 1)
        self.owner_asks(table, one, by_sql)
        if meanwhile != "another is asked for":
            self.owner_asks(table, other, by_sql)
        self.somebody_approves(table)
        self.meanwhile(meanwhile, table, other)
        self.apply(at=killed, sent=sent)
        if by_sql:
            self.owner_deletes(table, one)
        else:
            self.owner_deletes_what_is_free(table)

    @precondition(lambda self: self.relinks and not self.out)
    @rule(table=tables, how=st.sampled_from(["keep", "drop"]), adopts=st.booleans(), n=few)
    def a_link_is_taken_out_made_anew_and_approves(self, table: str, how: str, adopts: bool, n: int) -> None:
        """Once in a history, for it takes long."""
        self.relinks = False
        self.the_manifest_drops_a_link(table, how)
        self.apply()
        self.what_came_from_the_source_is_protected()  # and takes note of what is protected no longer
        self.the_manifest_links_it_anew(table, adopts)
        self.apply()
        self.a_deletion_is_asked_for_approved_applied_and_done(table, n, True, "nothing", None, False)
