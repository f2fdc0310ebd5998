"""What a manifest means at one place, told anew: what is wanted, and what an apply may delete here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tests.support.histories.place import MASTERS, PARTS, Place, Rows

Keys = dict[str, set[Any]]
ABOVE = {
    "session": ("subject", 1),
    "note": ("session", 1),
}  # the parent of each, and the column that names it
BACK = ("subject", ("session", 2))  # at the source alone


@dataclass(frozen=True)
class Agreed:
    """An approval of the manifest: the entry, and the requests that it was written for."""

    table: str
    entry: Mapping[str, Any]
    keys: frozenset[Any]

    def renamed(self, former: str, name: str) -> Agreed:
        """The approval in a manifest whose source has another name now."""
        with_ = self.entry.get("with", {})
        along = {address.replace(f"{former}.", f"{name}.", 1): count for address, count in with_.items()}
        link = self.entry["link"].replace(f"{former}.", f"{name}.", 1)
        return replace(self, entry={**self.entry, "link": link} | ({"with": along} if with_ else {}))

    @property
    def until(self) -> datetime:
        """The latest request that it is about."""
        return datetime.fromisoformat(self.entry["until"].removesuffix("Z"))


@dataclass(frozen=True)
class Meaning:
    """The manifest's options, the tables that are `out` of it, its approvals, and what stands."""

    place: Place
    options: Mapping[str, Mapping[str, Any]]
    out: Mapping[str, str | None]
    agreed: tuple[Agreed, ...]
    source: Rows
    lab: Rows

    @property
    def linked(self) -> list[str]:
        """The tables in the manifest, parents first."""
        return [table for table in MASTERS if table not in self.out]

    def may_go(self, typed: bool) -> Keys:
        """The keys of the entities that an apply may delete here, and never a row of the lab's own tables.

        Under `removed: drop` all of the table, as long as none of the lab's depends on it; under `unwanted:
        release` what is not wanted; of what the source asks for what was granted, what an approval of the
        manifest is about, under `deletions: auto` all of it, and what hangs on these. `typed`: the apply is
        one at which somebody says yes to all that is asked for.
        """
        roots = {table: self._agreed_to(table, typed) for table in self.linked}
        going: Keys = {table: set() for table in MASTERS} | self.closure(roots)
        wanted = self.wanted()
        for table in self.linked:
            if self._option(table, "unwanted") == "release":
                going[table] |= self.place.keys(table) - wanted[table]
        for table, how in self.out.items():
            if how == "drop" and table != "session":  # the lab's analyses depend on sessions
                going[table] = {row[0] for row in self.lab[table]}
        return going | dict.fromkeys(PARTS, going["session"])

    def closure(self, roots: Mapping[str, Collection[Any]]) -> Keys:
        """These entities with all that hang on them here, in linked tables."""
        found = {table: set(roots.get(table, ())) for table in self.linked}
        for table in self.linked:
            above, column = ABOVE.get(table, ("", 0))
            if above in found:
                found[table] |= {row[0] for row in self.lab[table] if row[column] in found[above]}
        return found

    def _agreed_to(self, table: str, typed: bool) -> set[Any]:
        """What may go for requests of its own."""
        requests = self.place.requests(table)
        found = {key for key, (_, granted) in requests.items() if granted}
        covered, _ = self._by_the_manifest(table)
        if covered:
            return found | covered | (set(requests) if typed else set())
        return set(requests) if typed or self._needs_no_review(table) else found

    def _needs_no_review(self, table: str) -> bool:
        """Whether its requests, and all that goes with them, go under `deletions: auto`."""
        along = self.closure({table: self.place.requests(table)})
        return all(self._option(t, "deletions") == "auto" for t in self.linked if t == table or along[t])

    def _by_the_manifest(self, table: str) -> tuple[set[Any], list[Agreed]]:
        """What its latest approval that holds is about; without one nothing, and those that are void."""
        approved, void = self.place.keys(table, "_deletion_approved"), list[Agreed]()
        requests = self.place.requests(table).items()
        open_ = {key: at for key, (at, granted) in requests if not granted and key not in approved}
        for each in sorted(self.agreed, key=lambda a: a.until, reverse=True):
            covered = {key for key, at in open_.items() if at <= each.until}
            if each.table == table and covered:
                if self._holds(each, covered):
                    return covered, []
                void.append(each)
        return set(), void

    def void(self) -> list[Agreed]:
        """The approvals that are void, that no later one makes up for, and without which nothing goes."""
        return [
            each
            for table in self.linked
            if not self._needs_no_review(table)
            for each in self._by_the_manifest(table)[1]
        ]

    def _holds(self, approval: Agreed, covered: set[Any]) -> bool:
        """Whether it is about just these, and no more goes along than it says."""
        along = self.closure({approval.table: self.requested_and_local(approval.table, approval.until)})
        said = approval.entry.get("with", {})
        return covered == approval.keys and all(
            len(along[t]) <= said.get(self.place.address(t), 0) for t in self.linked if t != approval.table
        )

    def requested_and_local(self, table: str, until: datetime) -> set[Any]:
        """What is here of what was asked for up to a moment and not granted, approved before or not."""
        local_keys = {row[0] for row in self.lab[table]}
        return {
            key
            for key, (at, granted) in self.place.requests(table).items()
            if key in local_keys and at <= until and not granted
        }

    def _option(self, table: str, name: str) -> Any:
        defaults = {"unwanted": "keep", "deletions": "review", "pull": "all", "where": None}
        return self.options.get(table.capitalize(), {}).get(name, defaults[name])

    def asked(self, table: str) -> set[Any]:
        """The keys whose deletion was asked for, or is approved: no apply pulls them. None once it is out."""
        if table in self.out:
            return set()
        return set(self.place.requests(table)) | self.place.keys(table, "_deletion_approved")

    def wanted(self) -> Keys:
        """The keys that the manifest asks for. A parent that is not linked restricts nothing."""
        held = {t: self.place.keys(t) if t in self.linked else set[Any]() for t in MASTERS}
        where, pull = self._option("subject", "where"), self._option("subject", "pull")
        met = {
            id
            for id, v, _ in self.source["subject"]
            if where is None or (v > 0 if isinstance(where, str) else id in where["id"])
        }
        subjects = met & held["subject"] if pull == "none" else met
        free = "subject" in self.out
        sessions = {s for s, id in self.source["session"] if free or id in subjects}
        if pull == "needed":
            children = sessions | held["session"] if "session" in self.linked else set()
            subjects &= {id for s, id in self.source["session"] if s in children}
        free = "session" in self.out
        notes = {
            n
            for n, s, _ in self.source["note"]
            if (n < 4 or not self._option("note", "where")) and (free or s is None or s in sessions)
        }
        if self._option("note", "pull") == "none":
            notes &= held["note"]
        return {"subject": subjects, "session": sessions, "note": notes}

    def pullable(self) -> Keys:
        """What is wanted and neither asked for nor hanging on what is."""
        asked, wanted = {t: self.asked(t) for t in MASTERS}, self.wanted()
        barred = dict(asked)
        barred["session"] = asked["session"] | {
            s for s, id in self.source["session"] if id in asked["subject"]
        }
        barred["note"] = asked["note"] | {n for n, s, _ in self.source["note"] if s in barred["session"]}
        if "session" in self.out:
            barred["note"] = asked["note"]
        return {t: wanted[t] - barred[t] for t in self.linked}


def below(table: str) -> list[str]:
    """A table, and those that refer to it over any number of steps."""
    return list(MASTERS)[list(MASTERS).index(table) :]


def hanging(source: Rows, roots: Mapping[str, Collection[Any]]) -> Keys:
    """Entities of the source with all that hang on them there."""
    found, before = {table: set(roots.get(table, ())) for table in MASTERS}, -1
    while before != (before := sum(map(len, found.values()))):
        for table, (above, column) in (*ABOVE.items(), BACK):
            found[table] |= {row[0] for row in source[table] if row[column] in found[above]}
    return found


def touching(source: Rows, table: str, held: Mapping[str, Collection[Any]]) -> Iterator[Any]:
    """The entities of a table that are held, or have something held hanging on them."""
    for row in source[table]:
        if any(keys & set(held[t]) for t, keys in hanging(source, {table: {row[0]}}).items()):
            yield row[0]
