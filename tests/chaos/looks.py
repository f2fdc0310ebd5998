"""What is looked at by SQL of this harness's own: at any moment, and at rest."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pymysql

from tests.chaos.lab import LOST, Lab, transaction
from tests.chaos.ledger import Ledger
from tests.chaos.pipeline import BY_NAME, TABLES, Content, Key, Table, barred, wanted

WANTED, REQUESTED = "wanted", "requested, waiting for a person"
KEPT, NEEDED, OVER = (
    "unwanted, kept",
    "unwanted, needed by rows that stay",
    "unwanted, beyond `max_deletions`",
)
APPROVE = re.compile(r"`djlink approve (?:-\S+ \S+ )*([\w.]+)`")  # with the options of this call
GONE = {1146, 1049}  # the table or schema is not made yet


class Watcher(threading.Thread):
    """Looks at one link after another while everything else goes on."""

    def __init__(self, lab: Lab, ledgers: Mapping[str, Ledger], seed: str) -> None:
        super().__init__(name="watcher", daemon=True)
        self.lab, self.ledgers = lab, ledgers
        self.random = random.Random(f"{seed} watcher")
        self.stop = threading.Event()
        self.faults = list[str]()
        self.looks = 0

    def run(self) -> None:
        """Look until told to stop; a server that is down is looked at later."""
        while not self.stop.is_set():
            source, table = self.random.choice(self.lab.sources), self.random.choice(TABLES)
            try:
                self.look(source, table)
                self.looks += 1
            except pymysql.MySQLError as error:
                if not isinstance(error, LOST) and not (error.args and error.args[0] in GONE):
                    self.faults.append(f"watcher: {source} {table.name}: {error}")
            except OSError:
                pass
            time.sleep(0.15)

    def look(self, source: str, table: Table) -> None:
        """What must hold of a link at any moment."""
        schema = self.lab.local_schema(source, table)
        key = ", ".join(table.key)
        outbound = f"`{self.lab.outbound}`.`{table.base}`"
        local = self._keys("local", f"SELECT {key} FROM `{schema}`.`{table.name}`")
        # local rows are read first: one that is pulled meanwhile is in outbound, and not among them
        held = self._keys(source, f"SELECT {key} FROM {outbound}")
        for each in local - held:
            self._look_again(source, table, each)
        self.ledgers[source].saw(table.name, local)
        approved = f"SELECT {key} FROM {outbound[:-1]}_deletion_approved`"
        before = self._keys(source, approved)
        now = self._keys("local", f"SELECT {key} FROM `{schema}`.`{table.name}`")
        for each in before & now & self._keys(source, approved):
            self.faults.append(f"{source}: {table.name} {each} is approved, and here")
        match = " AND ".join(f"s.`{c}` = o.`{c}`" for c in table.key)
        there = f"SELECT 1 FROM `{self.lab.schema(table.schema)}`.`{table.name}` s WHERE {match}"
        lost = f"SELECT {key} FROM {outbound} o WHERE NOT EXISTS ({there})"
        for each in self._keys(source, lost):
            self.faults.append(f"{source}: {table.name} {each} is held, and not at the source")
        if table.part:
            match = " AND ".join(f"p.`{c}` = m.`{c}`" for c in table.key)
            of = f"FROM `{schema}`.`{table.part_table}` p WHERE {match}"
            torn = f"SELECT {key} FROM `{schema}`.`{table.name}` m WHERE parts <> (SELECT COUNT(*) {of})"
            for each in self._keys("local", f"{torn} OR total <> (SELECT COALESCE(SUM(value), 0) {of})"):
                self.faults.append(f"{source}: {table.name} {each} has not the part rows that it says")

    def _look_again(self, source: str, table: Table, key: Key) -> None:
        """Where a local row stays locked, it is held: local rows go before outbound rows."""
        where = " AND ".join(f"`{c}` = %s" for c in table.key)
        schema = self.lab.local_schema(source, table)
        with self.lab.connect("local") as here, transaction(here) as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 3")
            if not cursor.execute(f"SELECT 1 FROM `{schema}`.`{table.name}` WHERE {where} FOR UPDATE", key):
                return
            with self.lab.connect(source) as session, session.cursor() as there:
                held = f"SELECT 1 FROM `{self.lab.outbound}`.`{table.base}` WHERE {where}"
                if not there.execute(held, key):
                    self.faults.append(f"{source}: {table.name} {key} is here, and not held")

    def _keys(self, server: str, text: str) -> set[Key]:
        with self.lab.connect(server) as session, session.cursor() as cursor:
            cursor.execute(text)
            return set(cursor.fetchall())


@dataclass(slots=True)
class Rest:
    """What stands at rest at one source: its faults, and how many rows stay for which reason."""

    faults: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


class Looked:
    """The state of one source and of what is here of it, when nobody works."""

    def __init__(self, lab: Lab, ledger: Ledger, manifest: str) -> None:
        self.lab, self.ledger, self.source = lab, ledger, ledger.source
        self.theirs, self.here = lab.content(self.source, self.source), lab.content("local", self.source)
        self.held, self.requested, self.approved = (
            lab.marked(self.source, suffix) for suffix in ("", "_deletion_requested", "_deletion_approved")
        )
        self.wanted = wanted(self.theirs, self.held, manifest)
        marked = {name: self.requested[name] | self.approved[name] for name in BY_NAME}
        self.barred = barred(self.theirs, marked)
        self.referred = _referred(self.here)

    def rest(self) -> Rest:
        """Look at every entity."""
        found = Rest()
        for table in TABLES:
            found.faults += [f"{self.source}: {table.name} {words}" for words in self._faults(table, found)]
        for life in self.ledger.lives.values():
            key, name = life.key, life.table.name
            is_there = key in self.theirs.masters[name]
            if life.there == "yes" and not is_there:
                found.faults.append(f"{self.source}: {name} {key} is gone, and no owner deleted it")
            if life.there == "no" and is_there:
                found.faults.append(f"{self.source}: {name} {key} is back")
            if life.there == "perhaps":
                life.there = "yes" if is_there else "no"
            released = self.lab.is_released(self.source, life.table)
            reviewed = self.lab.is_reviewed(self.source, life.table)
            if (
                life.seen
                and key not in self.here.masters[name]
                and not self.ledger.may_go(life, released=released, reviewed=reviewed)
            ):
                found.faults.append(f"{self.source}: {name} {key} was here, and is gone unasked")
        return found

    def _faults(self, table: Table, found: Rest) -> Iterator[str]:
        name = table.name
        here, there = self.here.masters[name].keys(), self.theirs.masters[name].keys()
        held, approved = self.held[name], self.approved[name]
        yield from (f"{key} is here, and not at the source" for key in here - there)
        yield from (f"{key} is here, and not held" for key in here - held)
        yield from (f"{key} is held, and not here" for key in held - here)
        yield from (f"{key} is approved, and here" for key in approved & here)
        due = self.wanted[name] - self.barred[name]
        yield from (f"{key} is wanted, and not here" for key in due - here)
        for key in here & there:
            yield from self._of_one(table, key, found)

    def account(self, plan: Mapping[str, Any]) -> Iterator[str]:
        """Of each link as many entities stay for a reason as the plan tells of."""
        links = {link["address"]: link for link in plan["links"]}
        for table in TABLES:
            link = links[self.lab.address(self.source, table)]
            reasons = {key: self.why(table, key) for key in sorted(self.here.masters[table.name])}
            found = Counter(reasons.values())
            told = {KEPT: link["kept"], **dict(told_of(link))}
            found[KEPT] += found.pop(NEEDED, 0)
            for reason, number in told.items():
                if found[reason] != number:
                    keys = [key for key, why in reasons.items() if why == reason]
                    said = json.dumps(
                        {n: link[n] for n in ("blocked", "warnings", "kept", "actions")}, indent=1
                    )
                    yield (
                        f"{self.source}: {table.name}: {found[reason]} rows are {reason}, the plan tells of "
                        f"{number}: {keys}\n{said}"
                    )

    def _of_one(self, table: Table, key: Key, found: Rest) -> Iterator[str]:
        """Why one entity is here, and whether it is whole."""
        found.reasons[self.why(table, key)] += 1
        if self.here.entity(table, key) == self.theirs.entity(table, key):
            return
        away = [r for r in self.theirs.references(table, key) if r[1] not in self.here.masters[r[0]]]
        if key in self.requested[table.name]:
            found.reasons["not refilled: requested"] += 1
        elif away:
            found.reasons["not refilled: refers now to what is not here"] += 1
        else:
            rows = f"{self.here.entity(table, key)}, at the source {self.theirs.entity(table, key)}"
            yield f"{key} has not the source's rows: {rows}"

    def why(self, table: Table, key: Key) -> str:
        """Why an entity stays here, as this harness sees it."""
        name = table.name
        if key in self.requested[name]:
            return REQUESTED
        if key in self.wanted[name]:
            return WANTED
        if not self.lab.is_released(self.source, table):
            return KEPT
        return NEEDED if (name, key) in self.referred else OVER

    def state(self, table: Table, key: Key) -> str:
        """The facts of an entity, in the letters of the state table."""
        name = table.name
        sets = (self.theirs.masters[name], self.held[name], self.here.masters[name], self.requested[name])
        letters = zip("SOLRA", (*sets, self.approved[name]), strict=True)
        return "".join(letter if key in keys else "-" for letter, keys in letters)


def _referred(content: Content) -> set[tuple[str, Key]]:
    """What the rows of a side refer to."""
    return {r for t in TABLES for key in content.masters[t.name] for r in content.references(t, key)}


def plan_in(text: str) -> Mapping[str, Any]:
    """The plan in what `plan --json` printed, among which there may be warnings."""
    begin = re.search(r"^\{$", text, re.MULTILINE)
    assert begin is not None, f"there is no plan in: {text}"
    found: Mapping[str, Any] = json.JSONDecoder().raw_decode(text, begin.start())[0]
    return found


def told_reasons(plan: Mapping[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """What a plan (its JSON) says of what is not done: address, kind, reason, count."""
    for link in plan["links"]:
        for block in link["blocked"]:
            yield link["address"], block["kind"], block["reason"], block["count"]
        for words in link["warnings"]:
            yield link["address"], "warning", words, 0


def awaiting(plan: Mapping[str, Any]) -> set[str]:
    """The addresses of which a plan says that `djlink approve ADDRESS` is the next step."""
    hints = [block["hint"] or "" for link in plan["links"] for block in link["blocked"]]
    return {address for hint in hints for address in APPROVE.findall(hint)}


def told_of(link: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """How many rows wait for a person, as a plan says of a link, and why."""
    review = [block for block in link["blocked"] if block["kind"] == "review"]
    requested = [b["count"] for b in review if b["reason"].startswith("deletion requested")]
    yield REQUESTED, max(requested, default=0)
    yield OVER, sum(b["count"] for b in review if b["reason"].startswith("no longer wanted"))
