"""Every statement that changes anything belongs to an action of the plan, on a server that it names."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, get_args

import pytest

from djlink_manifest.model.tables.naming import source_of
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.apply import scheduler
from djlink_manifest.reconcile.apply.execute import execute
from djlink_manifest.reconcile.plan.actions import Action, Blocked
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.written import writes_to
from djlink_manifest.reconcile.runtime.batches import LinkWork
from djlink_manifest.sandbox.servers.accounts import create_link_user
from tests.support.faults.crash import changes
from tests.support.pipelines.deletion import TABLES, approvals, auto, document, request, with_approvals
from tests.support.rig import PASSWORD, Rig, quiet
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all
from tests.support.statements import Statement, watched

# who applies, and in which epoch: no action of a plan
SIGNED = re.compile(r"UPDATE \S+`~djlink` SET (?:holder|epoch) = ")
pytestmark = pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)

RELEASING = {"defaults": {"unwanted": "release", "max_deletions": "100%"}}


@dataclass
class Applies:
    """Applies of one rig, one link at a time, with what each action wrote."""

    rig: Rig
    kinds: set[type] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def apply(self, doc: dict[str, Any], narrowed: Callable[[Plan], Plan] = lambda plan: plan) -> list[str]:
        """Plan and apply; the texts of what changed anything."""
        written = list[str]()
        with self.rig.job(doc, parallelism=1) as job:
            plan = narrowed(job.plan())
            with self.watched(written):
                report = job.apply(plan, quiet, threading.Event())
        assert report.succeeded, report.outcomes
        return written

    @contextmanager
    def watched(self, written: list[str]) -> Iterator[None]:
        doing = list[tuple[LinkWork, Action]]()
        ports = {self.rig.server(n).port: n for n in ("lab_a", "local")}

        def told(link_work: LinkWork, action: Action) -> Blocked | None:
            doing.append((link_work, action))
            self.kinds.add(type(action))
            try:
                return execute(link_work, action)
            finally:
                doing.pop()

        def hook(statement: Statement) -> None:
            if not changes(statement) or statement.begins("COMMIT") or _is_scratch(statement):
                return
            written.append(statement.text)
            server = ports[statement.port]
            if not doing:
                if not SIGNED.match(statement.text):
                    self.faults.append(f"by no action, on {server}: {statement.text[:120]}")
                return
            link_work, action = doing[-1]
            if server not in writes_to(action, source_of(link_work.link.address)):
                kind = type(action).__name__
                self.faults.append(f"by {kind}, on {server}: {statement.text[:120]}")

        with pytest.MonkeyPatch.context() as patch, watched(hook, prefix=self.rig.names("")):
            patch.setattr(scheduler, "execute", told)
            yield


def _is_scratch(statement: Statement) -> bool:
    """Whether a statement marks keys in a temporary table of djlink's own."""
    return statement.begins("UPDATE") and "`~djlink_" in statement.text.split(" ")[1]


@pytest.fixture
def applies(rig: Rig) -> Applies:
    run_all(rig, *TABLES)
    rig.accounts({})
    schemas, views = [rig.names("lab")], owner_schema(rig.outbound)
    create_link_user(
        rig.server("lab_a"), rig.names("link"), PASSWORD, schemas, rig.outbound, owner_schema=views
    )
    return Applies(rig)


def locally(rig: Rig, text: str) -> None:
    """A statement of a person on the local server; `{here}` is the local schema."""
    with rig.servers.local.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(text.replace("{here}", f"`{rig.local_schema('lab_a', 'lab')}`"))


def making(applies: Applies) -> None:
    """A link is made without its parent, which is linked later."""
    rig = applies.rig
    applies.apply(document(rig, {"Spikes": {}}))
    applies.apply(document(rig, "*"))


def deleting(applies: Applies) -> None:
    """What is asked for is noted, claimed, deleted, approved; interrupted approvals are mended."""
    rig = applies.rig
    request(rig, "subject", "name = 'ann'")
    applies.apply(document(rig))
    applies.apply(with_approvals(document(rig), approvals(rig, document(rig))))
    request(rig, "spikes", "id = 3")
    locally(rig, "DELETE FROM {here}.spikes WHERE id = 3")
    rig.run(
        "lab_a",
        f"INSERT INTO {rig.outbound_table('lab', 'subject_deletion_approved')} VALUES ('eve', now(), '')",
    )
    request(rig, "session", "name = 'eve'")
    applies.apply(auto(rig))


def letting_go(applies: Applies) -> None:
    """Rows that are gone here, rows without protection, rows that are wanted no longer."""
    rig = applies.rig
    rig.run("lab_a", "INSERT INTO {lab}.subject VALUES ('joe', 'mouse'), ('kit', 'mouse'), ('lea', 'rat')")
    applies.apply(document(rig))
    rig.run("lab_a", f"DELETE FROM {rig.outbound_table('lab', 'subject')} WHERE name = 'joe'")
    locally(rig, "DELETE FROM {here}.subject WHERE name = 'kit'")
    applies.apply(document(rig))
    locally(rig, "DELETE FROM {here}.subject WHERE name = 'kit'")
    applies.apply(document(rig, {"Subject": {"where": "name NOT IN ('kit', 'lea')"}}, **RELEASING))


def changing(applies: Applies) -> None:
    """The source adds a column and a unique index; then nothing that rows need."""
    rig = applies.rig
    rig.run("lab_a", "ALTER TABLE {lab}.subject ADD COLUMN tag int DEFAULT NULL, ADD UNIQUE KEY by_tag (tag)")
    rig.run("lab_a", "UPDATE {lab}.subject SET tag = 7 WHERE name = 'bob'")
    applies.apply(document(rig))
    rig.run("lab_a", "ALTER TABLE {lab}.subject COMMENT = 'other words'")
    rig.run("lab_a", "INSERT INTO {lab}.subject (name) VALUES ('new')")
    applies.apply(document(rig))


def losing(applies: Applies) -> None:
    """Local tables are dropped, and a row above them is deleted by a person."""
    rig = applies.rig
    request(rig, "subject", "name = 'bob'")
    locally(rig, "DROP TABLE {here}.spikes, {here}.spikes__deletion_requested")
    for table in ("session__trial", "session", "subject"):
        locally(rig, f"DELETE FROM {{here}}.{table} WHERE name = 'bob'")
    applies.apply(document(rig))


def naming(applies: Applies) -> None:
    """The manifest gives the local server a name."""
    named = document(applies.rig)
    named["local"]["identity"] = "ourlab-db"
    applies.apply(named)


def moving(applies: Applies) -> None:
    """The local schema gets another name."""
    rig, doc = applies.rig, document(applies.rig)
    before, after = rig.local_schema("lab_a", "lab"), rig.names("moved")
    moved = [{"local_schema": before, "to": after}]
    applies.apply({**doc, "defaults": {**doc["defaults"], "schema_name": after}, "moved": moved})


def test_every_change_is_of_an_action_on_a_server_that_it_names(applies: Applies) -> None:
    for step in (making, deleting, letting_go, changing, losing, naming, moving):
        step(applies)
        assert not applies.faults, f"{step.__name__}: " + "\n".join(applies.faults)
    assert applies.kinds == set(get_args(Action))


def test_a_plan_without_actions_writes_nothing(applies: Applies) -> None:
    rig = applies.rig

    def emptied(plan: Plan) -> Plan:
        assert plan.has_changes
        return replace(plan, links=tuple(replace(link, actions=()) for link in plan.links))

    assert applies.apply(document(rig), emptied) == []
    assert applies.apply(document(rig)) != []
    request(rig, "subject", "name = 'ann'")
    rig.run("lab_a", "ALTER TABLE {lab}.session ADD COLUMN tag int DEFAULT NULL")
    locally(rig, "DROP TABLE {here}.spikes, {here}.spikes__deletion_requested")
    assert applies.apply(auto(rig), emptied) == []
    assert ask(rig.servers.local, f"SHOW TABLES IN `{rig.local_schema('lab_a', 'lab')}` LIKE 'spikes'") == []
