"""What is wanted, barred and left out, in SQL on a real server, against the definition in plain Python."""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from djlink_manifest.model.entity import Presence
from djlink_manifest.model.link import Link
from djlink_manifest.reconcile import plan as planning
from djlink_manifest.reconcile.actions import Pull
from djlink_manifest.reconcile.snapshot import EntityClass, LinkSnapshot, Observation
from djlink_manifest.servers.wanted import Scene, Sets
from tests.rig import Rig, link_of, quiet
from tests.shared_servers import Names, Servers, drop_everything, new_names
from tests.wanted_model import Entity, Model, literal, random_pipeline, random_rows, random_rules

PIPELINES = int(os.environ.get("DJLINK_PIPELINES", "25"))


@contextmanager
def own_rig(servers: Servers) -> Iterator[Rig]:
    """A rig for one example."""
    names = new_names()
    with tempfile.TemporaryDirectory() as folder:
        try:
            yield Rig(servers, names, Path(folder))
        finally:
            for server in (servers.lab_a, servers.local):
                drop_everything(server, names)


def script(rig: Rig, statements: Sequence[str], server: str = "lab_a") -> None:
    """Run statements as root in one session."""
    with rig.server(server).connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(rig.sql(statement))
        connection.commit()


@contextmanager
def snapshots_of(job: Any) -> Iterator[dict[str, LinkSnapshot]]:
    """The snapshots that the job's plans are made from."""
    seen: dict[str, LinkSnapshot] = {}
    make = planning.make

    def recording(links: Sequence[Link], graph: Any, observation: Observation) -> planning.Plan:
        seen.update(observation.snapshots)
        return make(links, graph, observation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "make", recording)
        yield seen


def check_plan_and_apply(rig: Rig, model: Model) -> None:
    """Plan and apply, and compare every count and every pulled key with the model's."""
    manifest = rig.document(
        {"lab_a": {"lab": {"tables": {name: rule.written() for name, rule in model.rules.items()}}}}
    )
    wanted, allowed, barred = model.wanted(), model.allowed(), model.barred()
    with rig.job(manifest) as job, snapshots_of(job) as seen:
        plan = job.plan()
        links = {link.definition.name: link for link in job.links}
        for name, link in links.items():
            pulled = wanted[name] - barred - model.held
            counts = Counter(
                EntityClass(
                    Presence(True, e in model.held, e in model.held, e in model.requested, e in model.approved),
                    e in wanted[name],
                    e in wanted[name] and e not in barred,
                )
                for e in model.entities(name)
            )
            snapshot = seen[link.address]
            assert dict(snapshot.counts) == dict(counts), link.address
            assert dict(snapshot.to_pull_parts) == {
                p.name: model.part_rows(p, pulled) for p in model.parts(name) if pulled
            }, link.address
            assert Counter(dict(snapshot.left_out)) == left_out(model, link, wanted, allowed), link.address
            pulls = [a.entities for a in link_of(plan, link.address).actions if isinstance(a, Pull)]
            assert sum(pulls) == len(pulled), link.address
        report = job.apply(plan, quiet, threading.Event())
    failed = [(o.address, o.problem) for o in report.outcomes if o.status != "done"]
    assert not failed
    for name, link in links.items():
        model.held |= wanted[name] - barred
        here = {e for e in model.held if e[0] == name}
        columns = ", ".join(f"`{c}`" for c in model.tables[name].key)
        for server, of in (
            ("lab_a", f"`{link.outbound_schema}`.`{link.outbound_table}`"),
            ("local", f"`{link.local.schema}`.`{link.local.name}`"),
        ):
            rows = rig.server(server).execute(f"SELECT {columns} FROM {of}")
            assert {(name, row) for row in rows} == here, (server, link.address)
        for part, ours in zip(model.parts(name), link.local.parts, strict=False):
            rows = rig.servers.local.execute(f"SELECT COUNT(*) FROM `{ours.schema}`.`{ours.name}`")
            assert rows == [(model.part_rows(part, here),)], part.name


def left_out(
    model: Model, link: Link, wanted: dict[str, set[Entity]], allowed: dict[str, set[Entity]]
) -> Counter[str]:
    """By the words of the plan, how many entities the first reason that meets them leaves out."""
    name = link.definition.name
    reasons = Counter[str]()
    if model.rules[name].pull == "none":
        return reasons
    by_key = {(name, model.tables[name].key_of(row)): row for row in model.tables[name].rows}
    for entity in model.entities(name) - wanted[name]:
        if not model.rules[name].meets(by_key[entity]):
            reasons["not in `where`"] += 1
            continue
        for reference in link.references:
            only = (reference.child_table, reference.columns, reference.parent_table)
            if any(target not in allowed[target[0]] for target in model.references(entity, only)):
                part = "" if reference.child_table == name else f" (by part {reference.child_table})"
                reasons[f"{reference.parent} leaves them out{part}"] += 1
                break
        else:
            reasons["nothing wanted needs them"] += 1
    return reasons


def ask_and_approve(rig: Rig, rnd: random.Random, model: Model) -> Iterator[str]:
    """Random requests, and approvals of entities that are not held, as the statements that write them."""
    for name, table in model.tables.items():
        if name not in model.rules:
            continue
        for entity in sorted(model.entities(name), key=repr):
            chance = rnd.random()
            base = f"{{outbound}}.{rig.names('lab')}_{name}"
            values = f"({', '.join(table.key)}) VALUES ({', '.join(literal(v) for v in entity[1])})"
            if chance < 0.1:
                model.requested.add(entity)
                yield f"INSERT INTO {base}_deletion_requested {values}"
            elif chance < 0.15 and entity not in model.held:
                model.approved.add(entity)
                yield f"INSERT INTO {base}_deletion_approved {values}"


@settings(
    max_examples=PIPELINES,
    deadline=None,
    derandomize="CI" in os.environ,  # the same pipelines every time; elsewhere new ones, and the seed is told
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a smaller seed is no smaller pipeline
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_and_pulled_keys_are_those_of_the_definition(servers: Servers, seed: int) -> None:
    rnd = random.Random(seed)
    model = random_pipeline(rnd)
    with own_rig(servers) as rig:
        script(rig, ["CREATE DATABASE {lab}", *(t.ddl("{lab}") for t in model.tables.values())])
        script(rig, [t.insert("{lab}", t.rows) for t in model.tables.values() if t.rows])
        rig.accounts({"lab_a": ["lab"]})
        check_plan_and_apply(rig, model)
        added = random_rows(rnd, model)
        random_rules(rnd, model)
        script(rig, [model.tables[n].insert("{lab}", rows) for n, rows in added.items() if rows])
        script(rig, list(ask_and_approve(rig, rnd, model)))
        check_plan_and_apply(rig, model)
