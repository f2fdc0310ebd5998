"""A random history of one pipeline: a source at work, a lab at work, manifests that change, applies, kills.

`History` is what may happen at a `place.Place`; each rule, here and in `people`, is one event, and after each
the invariants hold. Another kind of event is another rule, and what it may take away goes into `model`.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from djlink_manifest.cli import run
from tests.support.histories.dumps import Copy, restore
from tests.support.histories.model import Agreed, below
from tests.support.histories.people import MEANWHILE, People, few, nth, tables
from tests.support.histories.place import MASTERS, is_lost, parts_of
from tests.support.histories.plans import shuffled, without_places

# what the run's end tells, for it may be that nothing of the kind came about
COUNTED = (
    "histories",
    "applies",
    "applies killed",
    "approvals",
    "of them void",
    "rows deleted by the owner after an approval",
    "links taken out",
    "copies restored",
    "local tables dropped",
    "misspelt names",
    "rights taken",
    "sources renamed",
    "sources restored",
)


class History(People):
    """What happens at one place: people, the manifest, applies; and what always holds."""

    @initialize(
        rows=st.integers(1, 4),
        pulled=st.sampled_from([True, True, True, False]),
        asked=st.lists(st.tuples(tables, few), max_size=3),
        meanwhile=st.sampled_from([None, None, *MEANWHILE]),
        relinks=st.sampled_from([False, False, False, True]),
    )
    def begin(
        self, rows: int, pulled: bool, asked: list[tuple[str, int]], meanwhile: str | None, relinks: bool
    ) -> None:
        """In most, all that the source has is pulled and some of it asked back, approved or not."""
        self.place.reset()
        self.options: dict[str, dict[str, Any]] = {}
        self.out: dict[str, str | None] = {}
        self.agreed: list[Agreed] = []
        self.copy: Copy = {}
        self.copy_of_source: Copy = {}
        self.moved: tuple[dict[str, str], ...] = ()
        self.is_moving = self.is_blind = False
        self.is_asking, self.relinks, self.asks_more = False, relinks, False
        self.misspelt: str | None = None
        self.void: list[Agreed] = []
        self.loose: dict[str, set[Any]] = {name: set() for name in MASTERS}
        self.odd: set[Any] = set()
        self.ledgers: dict[str, Counter[Any]] = {name: Counter() for name in MASTERS}
        self.told["histories"] += 1
        for key in range(1, rows + 1):
            self.source_inserts_a_subject(key, key % 3)
            self.source_inserts_a_session(key, 1 + key // 2, key % 3, 0)
            self.source_inserts_a_note(key, key, 0)
        if pulled:
            self.apply()
            self.lab_makes_a_copy()
            for table, n in asked:
                self.owner_asks_for_a_deletion(table, n, by_sql=True)
            if asked and meanwhile:
                other = nth(asked[0][0], self.place.keys(asked[0][0]), asked[0][1] + 1)
                self.owner_asks(asked[0][0], other, by_sql=True)
                self.somebody_approves(asked[0][0])
                self.meanwhile(meanwhile, asked[0][0], other)

    # djlink at work

    @rule(
        where=st.sampled_from([None, "v > 0", {"id": [1, 2, 3]}]),
        note=st.sampled_from([None, "n < 4"]),
        unwanted=st.sampled_from(["keep", "release"]),
        pull=st.sampled_from(["all", "needed", "none"]),
        notes=st.sampled_from(["all", "none"]),
        deletions=st.sampled_from(
            [("review", "review"), ("review", "auto"), ("auto", "review"), ("auto", "auto")]
        ),
        changed=st.sampled_from(["report", "mend"]),
    )
    def the_manifest_changes(
        self,
        where: Any,
        note: Any,
        unwanted: str,
        pull: str,
        notes: str,
        deletions: tuple[str, str],
        changed: str,
    ) -> None:
        if {"session", "note"} <= self.out.keys() and pull == "needed":
            pull = "all"  # a manifest of which nothing is wanted is refused
        both = {"unwanted": unwanted, "deletions": deletions[0], "max_deletions": 100, "changed": changed}
        subject: dict[str, Any] = {"pull": pull, **both}
        if where and pull != "needed":
            subject["where"] = where
        self.options = {
            "Subject": subject,
            "Session": both,
            "Note": {"pull": notes, "deletions": deletions[1], "max_deletions": 100},
        }
        if note:
            self.options["Note"]["where"] = note

    @precondition(lambda self: self.is_asking)
    @rule(table=tables)
    def somebody_approves(self, table: str) -> None:
        """`djlink approve`, of all that is asked for now of a table of which anything is."""
        asked = [t for t in MASTERS if t not in self.out and self.place.requests(t)]
        if not asked:
            return
        table = table if table in asked else asked[0]
        path = str(self.write())
        meaning = self.meaning()
        approved = self.place.keys(table, "_deletion_approved")
        open_ = {
            key: at
            for key, (at, granted) in self.place.requests(table).items()
            if not granted and key not in approved
        }
        if self.runs("approve", self.place.address(table), "-f", path, "--into", path, "--by", "a.lee"):
            return  # nothing awaits an approval
        entries = self.read(path)["approvals"]
        fresh = [e for e in entries if e not in [dict(a.entry) for a in self.agreed]]
        # a void one of the same keys is replaced
        self.agreed = [a for a in self.agreed if dict(a.entry) in entries]
        if not fresh:  # it stands there already
            assert any(a.table == table and a.keys == set(open_) for a in self.agreed)
            return
        [entry] = fresh
        new = Agreed(table, entry, frozenset(open_))
        assert (entry["count"], new.until) == (len(open_), max(open_.values()))
        along = meaning.closure({table: meaning.requested_and_local(table, new.until)})
        said = {self.place.address(t): len(keys) for t, keys in along.items() if t != table and keys}
        assert entry.get("with", {}) == said
        self.agreed.insert(0, new)
        self.told["approvals"] += 1

    @rule(table=tables, how=st.sampled_from(["keep", "drop", None]))
    def the_manifest_drops_a_link(self, table: str, how: str | None) -> None:
        """And says what becomes of it, or nothing; approvals for it have to go too."""
        if table in self.out or len(self.out) == 2:
            return
        alone = {"session", "note"} <= {table, *self.out}
        if alone and self.options.get("Subject", {}).get("pull") == "needed":
            return  # a manifest of which nothing is wanted is refused
        self.out[table], self.place.torn = how, True
        self.copy = self.copy_of_source = {}
        self.agreed = [each for each in self.agreed if each.table != table]

    @precondition(lambda self: bool(self.out))
    @rule(table=tables, adopts=st.booleans())
    def the_manifest_links_it_anew(self, table: str, adopts: bool) -> None:
        """What was kept is adopted, or makes place, as far as nothing of the lab's depends on it."""
        table = table if table in self.out else min(self.out)
        how, self.copy, self.copy_of_source = self.out.pop(table), {}, {}
        if how != "keep" or self.place.is_linked(table):
            return
        if not adopts and table != "session":
            self.place.lab(f"DROP TABLE {{here}}.{table}")
        elif self.runs("adopt", self.place.address(table), "-f", str(self.write()), "--auto-approve"):
            self.out[table] = how  # nothing of it is known to be the source's

    @precondition(lambda self: bool(self.copy))
    @rule()
    def the_copy_is_restored(self) -> None:
        """On the same server, as after a lost disk; the source has gone on meanwhile. Then it is adopted."""
        self.place.lab_asks(None)  # a dump has the tables, too
        before = self.place.at_lab()
        restore(self.place.rig.servers.local, self.copy)
        self.place.torn = True
        addresses = [self.place.address(table) for table in MASTERS if table not in self.out]
        # after a look: the source has the epoch of an apply that this copy does not know
        assert not self.runs("adopt", *addresses, "-f", str(self.write()), "--auto-approve")
        after, source = self.place.at_lab(), self.place.at_source()
        for table in MASTERS:
            self.loose[table] |= {row[0] for row in after[table]} - self.place.keys(table)
        self.odd |= {s for s, _ in after["session"] if parts_of(after, s) != parts_of(source, s)}
        self.told["copies restored"] += before != after

    @rule(seed=st.integers(0, 1 << 16))
    def the_order_of_the_manifest_means_nothing(self, seed: int) -> None:
        document = self.document()
        plans = [self.place.rig.plan(each) for each in (document, shuffled(document, random.Random(seed)))]
        one, other = map(without_places, plans)
        assert one == other, f"{one}\n\n{other}"

    @rule(every=st.booleans(), sent=st.booleans(), at=st.integers(1, 7), typed=st.booleans())
    def an_apply_is_killed(self, every: bool, sent: bool, at: int, typed: bool) -> None:
        """At one of its changes, or at any statement; not at all where it makes fewer."""
        self.apply(typed, at=at * 8 if every else at, sent=sent, every=every)

    @rule(table=tables, every=st.booleans(), at=st.integers(1, 12), killed=st.booleans())
    def a_local_table_is_dropped(self, table: str, every: bool, at: int, killed: bool) -> None:
        """And an apply begins to bring it back, which may be killed."""
        if table in self.out:
            return
        self.copy = {}
        self.place.lab_drops(table)
        self.told["local tables dropped"] += 1
        self.apply(at=(at * 8 if every else at) if killed else None, every=every)

    @rule(verify=st.booleans())
    def an_apply(self, verify: bool) -> None:
        self.apply(verify=verify)

    @rule(table=tables, at=st.one_of(st.none(), st.integers(1, 12)))
    def an_apply_of_a_misspelt_name(self, table: str, at: int | None) -> None:
        """Nothing comes of a table that cannot be resolved or of those below it; then the name is mended."""
        if table in self.out or any(each.table == table for each in self.agreed):
            return
        self.misspelt = table
        self.told["misspelt names"] += 1
        before = {t: self.place.keys(t) for t in MASTERS}
        self.apply(at=at)
        self.misspelt = None
        for each in below(table):
            more = self.place.keys(each) - before[each]
            assert not more, f"{more} of {each} pulled though {table} is misspelt"

    @precondition(lambda self: self.is_asking)
    @rule()
    def somebody_applies_and_says_yes(self) -> None:
        """To the deletions that the apply lists."""
        self.apply(typed=True)

    def document(self) -> dict[str, Any]:
        """The manifest as it stands."""
        approvals = [each.entry for each in self.agreed]
        return self.place.document(self.options, self.out, approvals, self.misspelt, self.moved)

    def write(self) -> Any:
        """The manifest as a file."""
        return self.place.rig.write(self.document())

    @staticmethod
    def read(path: str) -> Any:
        """A manifest's file, read as plain YAML."""
        return yaml.safe_load(Path(path).read_text())

    def runs(self, *arguments: str) -> int:
        """Run a command of djlink's; its exit code."""
        with patch.dict(os.environ, self.place.rig.environ):
            return run(list(arguments))

    def apply(self, typed: bool = False, rests: bool = False, **kill: Any) -> dict[str, Any]:
        """Plan and apply in a process of its own; what it may not change is as before.

        It plans again where something is to be known of that: whether all comes to rest (`rests`), and which
        approvals are void.
        """
        before = self.meaning()
        may_go, linked = before.may_go(typed), {t for t in self.out if self.place.is_linked(t)}
        twice = rests or bool(self.agreed)
        answer = self.place.applier(manifest=str(self.write()), typed=typed, twice=twice, **kill)
        self.told["applies"] += 1
        if answer.get("killed"):
            self.told["applies killed"] += 1
            self.place.wait_for_the_dead()
        else:
            assert "problems" in answer, answer
            self.is_moving = self.is_moving and (self.misspelt is not None or self.is_blind)
        after = self.meaning()
        void = after.void()
        if "blocked" in answer and not answer["problems"] and not self.is_blind:
            said = Counter(address for address, _, why in answer["blocked"] if "is void" in why)
            assert said == Counter(self.place.address(each.table) for each in void), (answer, void)
        new = [each for each in void if each not in self.void]
        self.void += new
        self.told["of them void"] += len(new)
        assert after.source == before.source
        for table, rows in before.lab.items():
            gone = set(rows - after.lab[table])
            if kill.get("verify"):  # what the source changed may be mended
                gone = {row for row in gone if is_lost(table, row, after.lab, after.source)}
            lost = {row for row in gone if row[0] not in may_go.get(table, ())}
            assert not lost, f"{table} lost {lost}"
        self.told["links taken out"] += sum(not self.place.is_linked(table) for table in linked)
        return answer

    @invariant()
    def what_came_from_the_source_is_protected(self) -> None:
        if not hasattr(self, "loose"):
            return
        source, lab = self.place.at_source(), self.place.at_lab()
        for table in MASTERS:
            local_keys, held = {row[0] for row in lab[table]}, self.place.keys(table)
            if self.out.get(table) == "keep":
                self.loose[table] = local_keys - held
            assert local_keys - held <= self.loose[table], (
                f"{local_keys - held} of {table} without protection"
            )
            self.loose[table] &= local_keys - held
        sessions = self.place.keys("session") & {row[0] for row in lab["session"]}
        for s in sessions if "session" not in self.out else ():
            is_whole = parts_of(lab, s) == parts_of(source, s)
            if is_whole:
                self.odd.discard(s)
            assert is_whole or s in self.odd, f"session {s} is here by half"
        self.odd &= sessions

    @invariant()
    def what_is_approved_is_gone_and_the_ledger_says_so(self) -> None:
        """And no row of a ledger is ever lost, even of a link that was taken out."""
        if not hasattr(self, "loose"):
            return
        lab = self.place.at_lab()
        for table in MASTERS:
            now = self.place.ledger(table)
            lost = self.ledgers[table] - now
            assert not lost, f"the ledger of {table} lost {lost}"
            self.ledgers[table] = now
            approved = self.place.keys(table, "_deletion_approved")
            local_keys = approved & {row[0] for row in lab[table]}
            assert local_keys <= self.loose[table], f"{local_keys} of {table} approved and here"
            told = {key for _, key, event, *_ in now if event.startswith("approved")}
            assert approved <= told, f"{approved - told} of {table} approved without a word in the ledger"

    def teardown(self) -> None:
        """At the end one more apply does all that can be done; then the owner deletes what was approved."""
        if not hasattr(self, "loose"):
            return
        if self.is_moving:
            self.apply()  # which does nothing but that
        answer = self.apply(rests=True)
        if answer["problems"] and (self.out or self.asks_more):
            # what hung on a row that was deleted here and that a rule keeps out was refused once
            answer = self.apply(rests=True)
        if answer["changes_again"] and {"CreateLocal", "PullAgain", "NoteFilled"} & {*answer["kinds"]}:
            # deletions wait until dropped tables are filled
            answer = self.apply(rests=True)
        if answer["changes_again"] and (self.out or ("Delete" in answer["kinds"] and self.more_may_go())):
            # the first took links out, which changes what the others lack; or it deleted, under an approval,
            # what had kept the rows that it hung on from going under `deletions: auto`
            answer = self.apply(rests=True)
        if answer["problems"] or answer["changes_again"]:
            raise AssertionError(f"not at rest: {answer}")
        self.check_all_is_local(answer["blocked"])
        for table in MASTERS:
            if self.place.keys(table, "_deletion_approved"):
                self.owner_deletes_what_is_free(table)
        self.check_all_is_local(answer["blocked"])

    def more_may_go(self) -> bool:
        """Whether an apply may delete something of what is here and asked for."""
        meaning = self.meaning()
        going = meaning.may_go(typed=False)
        return any(set(self.place.requests(t)) & going[t] & {r[0] for r in meaning.lab[t]} for t in MASTERS)

    def check_all_is_local(self, blocked: list[list[str]]) -> None:
        """Wanted and pullable is here but for what is blocked; what is held and not here is asked back."""
        meaning = self.meaning()
        stopped = {address.rpartition(".")[2].lower() for address, _, _ in blocked}
        for table, keys in meaning.pullable().items():
            local_keys = {row[0] for row in meaning.lab[table]}
            if table in stopped and (self.out or self.asks_more):
                continue
            if table not in stopped:
                assert keys <= local_keys, f"{table}: {keys - local_keys} missing"
            gone = self.place.keys(table) - local_keys - meaning.asked(table)
            assert not gone, f"{gone} of {table} held for nothing"
