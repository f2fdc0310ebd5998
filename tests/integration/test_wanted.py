"""What is wanted, barred and left out, in SQL on a real server, against the definition in plain Python."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from djlink_manifest.model.links.entity import Presence
from djlink_manifest.model.links.link import Link
from djlink_manifest.reconcile.plan import plan as planning
from djlink_manifest.reconcile.plan.actions import Pull
from djlink_manifest.reconcile.plan.observation import Observation
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.reconcile.state.snapshot import EntityClass, LinkSnapshot
from tests.support.options import number, seed, told
from tests.support.rig import Rig, link_of, own_rig, quiet
from tests.support.servers import ALIKE, PAIRS, Servers
from tests.support.wanted.model import Entity, Model, folded
from tests.support.wanted.pipelines import ask_and_approve, link_more, random_pipeline, random_rows

PIPELINES = number("DJLINK_PIPELINES", 4)  # on each pair; every second one is deep
# what the pipelines of a run must hold, or the run would show little; the run's end tells how many
COUNTED = (
    "entities pulled",
    "part rows",
    "by `where`",
    "by a parent",
    "by a part",
    "needed by nothing",
    "needed",
    "barred",
    "barred by several part rows",
    "linked late",
    "left with a parent that is not held",
)
EXAMPLES = (18, 49)  # they hold all of these
SEED = 1279014896


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


def manifest_of(rig: Rig, model: Model) -> dict[str, Any]:
    schemas: dict[str, dict[str, Any]] = {}
    for name, rule in model.rules.items():
        schemas.setdefault(model.tables[name].schema, {"tables": {}})["tables"][name] = rule.written()
    return rig.document({"lab_a": schemas})


def check_plan_and_apply(rig: Rig, model: Model, seen: Counter[str], late: Sequence[str] = ()) -> None:
    """Plan and apply, and compare every count and every pulled key with the model's.

    `late` were linked after others: a foreign key to one of them is added where every row has its parent.
    """
    with rig.job(manifest_of(rig, model)) as job, snapshots_of(job) as snapshots:
        plan = job.plan()
        links = {link.definition.name: link for link in job.links}
        assert set(links) == set(model.rules)
        for link in links.values():
            check_plan(model, link, plan, snapshots[link.address], seen)
        before = len(model.held)
        model.apply()
        for name, link in links.items():
            check_late_keys(model, link_of(plan, link.address), model.parentless(name, late), seen)
        report = job.apply(plan, quiet, threading.Event())
    assert report.succeeded, report.outcomes
    seen["entities pulled"] += len(model.held) - before
    for link in links.values():
        check_rows(rig, model, link)


def check_late_keys(model: Model, plan: LinkPlan, parentless: Counter[str], seen: Counter[str]) -> None:
    """Compare the rows that keep foreign keys from being added with the model's."""
    blocked = Counter[str]()
    for block in plan.blocked:
        if block.kind != "review":
            assert "cannot be added" in block.reason, block
            blocked[block.reason] += block.count
    assert sorted(blocked.values()) == sorted(parentless.values()), plan.address
    seen["left with a parent that is not held"] += sum(parentless.values())


def check_plan(
    model: Model, link: Link, plan: planning.Plan, snapshot: LinkSnapshot, seen: Counter[str]
) -> None:
    """Compare what was counted of one link with the model's."""
    name, wanted, allowed, barred = (
        link.definition.name,
        model.wanted(),
        model.allowed(),
        model.blocked_by_request(),
    )
    pulled = wanted[name] - barred - model.held
    counts = Counter(
        EntityClass(
            Presence(True, e in model.held, e in model.held, e in model.requested, e in model.approved),
            e in wanted[name],
            e in wanted[name] and e not in barred,
        )
        for e in model.entities(name)
    )
    assert dict(snapshot.counts) == dict(counts), link.address
    rows = {p.name: model.part_rows(p, pulled) for p in model.parts(name) if pulled}
    assert dict(snapshot.to_pull_parts) == rows, link.address
    out = left_out(model, link, wanted, allowed)
    assert Counter(dict(snapshot.left_out)) == out, link.address
    pulls = [a.entities for a in link_of(plan, link.address).actions if isinstance(a, Pull)]
    assert sum(pulls) == len(pulled), link.address
    seen["part rows"] += sum(rows.values())
    for reason, count in out.items():
        words = {
            "not selected by `where`": "by `where`",
            "not referenced by a wanted row": "needed by nothing",
        }
        seen[words.get(reason, "by a part" if "(referenced by part" in reason else "by a parent")] += count
    seen["needed"] += len(pulled) if model.rules[name].pull == "needed" else 0
    for entity in wanted[name] & barred - model.held:
        seen["barred"] += 1
        seen["barred by several part rows"] += sum(e in barred for e in model.references(entity)) > 1


def check_rows(rig: Rig, model: Model, link: Link) -> None:
    """Compare the keys that stand in outbound and here, and the number of part rows, with the model's."""
    name = link.definition.name
    local_keys = {e for e in model.held if e[0] == name}
    columns = ", ".join(f"`{c}`" for c in model.tables[name].key)
    for server, of in (
        ("lab_a", f"`{link.outbound_schema}`.`{link.outbound_table}`"),
        ("local", f"`{link.local.schema}`.`{link.local.name}`"),
    ):
        rows = rig.server(server).execute(f"SELECT {columns} FROM {of}")
        assert {(name, tuple(map(folded, row))) for row in rows} == local_keys, (server, link.address)
    for part, local_table in zip(model.parts(name), link.local.parts, strict=False):
        rows = rig.servers.local.execute(f"SELECT COUNT(*) FROM `{local_table.schema}`.`{local_table.name}`")
        assert rows == [(model.part_rows(part, local_keys),)], part.name


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
            reasons["not selected by `where`"] += 1
            continue
        for reference in link.references:
            only = (reference.child_table, reference.columns, reference.parent_table)
            if any(target not in allowed[target[0]] for target in model.references(entity, only)):
                part = (
                    "" if reference.child_table == name else f" (referenced by part {reference.child_table})"
                )
                reasons[f"their {reference.parent.rpartition('.')[2]} is not pulled{part}"] += 1
                break
        else:
            reasons["not referenced by a wanted row"] += 1
    return reasons


def compare(servers: Servers, number: int, seen: Counter[str], *, deep: bool) -> None:
    """One pipeline, linked, then grown, linked further and partly asked back, and linked again."""
    rnd = random.Random(number)
    model = random_pipeline(rnd, deep=deep)
    with own_rig(servers) as rig:
        script(rig, ["CREATE DATABASE {lab}", "CREATE DATABASE {other}"])
        script(rig, [t.ddl(model.tables) for t in model.tables.values()])
        script(rig, [t.insert(t.rows) for t in model.tables.values() if t.rows])
        rig.accounts({"lab_a": ["lab", "other"]})
        check_plan_and_apply(rig, model, seen)
        added = random_rows(rnd, model)
        late = link_more(rnd, model)
        seen["linked late"] += len(late)
        script(rig, [model.tables[n].insert(rows) for n, rows in added.items() if rows])
        script(rig, list(asked(rig, rnd, model, [n for n in model.rules if n not in late])))
        check_plan_and_apply(rig, model, seen, late)


def asked(rig: Rig, rnd: random.Random, model: Model, names: Sequence[str]) -> Iterator[str]:
    for master, ending, values in ask_and_approve(rnd, model, names):
        base = f"{rig.names(model.tables[master].schema)}_{master}{ending}"
        yield f"INSERT INTO {{outbound}}.{base} {values}"


@pytest.mark.timeout(120 + 60 * PIPELINES)
@pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
def test_counts_and_pulled_keys_are_those_of_the_definition(
    servers: Servers, record_property: Callable[[str, object], None]
) -> None:
    start, seen = seed(SEED), Counter[str]()
    numbers = [*EXAMPLES, *range(start, start + PIPELINES)]
    try:
        for each in numbers:
            start = each  # of a pipeline that fails, its own
            compare(servers, each, seen, deep=each not in EXAMPLES and each % 2 == 1)
        start = numbers[len(EXAMPLES)]
    finally:
        words = ", ".join(f"{seen[what]:,} {what}" for what in COUNTED)
        record_property("told", told(start, f"{len(numbers)} pipelines: {words}", servers.pair))
    assert all(seen[what] for what in COUNTED), seen


PIPELINE = (
    "CREATE DATABASE {lab}",
    "CREATE TABLE {lab}.subject (id int PRIMARY KEY, v int)",
    "CREATE TABLE {lab}.rig (r int PRIMARY KEY, id int NULL, FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "CREATE TABLE {lab}.session (s int PRIMARY KEY, r int NOT NULL,"
    " FOREIGN KEY (r) REFERENCES {lab}.rig (r))",
    "CREATE TABLE {lab}.session__trial (s int, n int, id int NULL, PRIMARY KEY (s, n),"
    " FOREIGN KEY (s) REFERENCES {lab}.session (s), FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
    "INSERT INTO {lab}.subject VALUES (1, 1), (2, 2), (3, NULL)",
    "INSERT INTO {lab}.rig VALUES (10, 1), (20, 2), (30, NULL)",
    "INSERT INTO {lab}.session VALUES (100, 10), (200, 20), (300, 30)",
)


@pytest.fixture
def pipeline(rig: Rig) -> Rig:
    script(rig, PIPELINE)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def pulled(rig: Rig, table: str) -> list[int]:
    """The keys in outbound of a table with a key of one column."""
    key = {"subject": "id", "rig": "r", "session": "s"}[table]
    base = f"{{outbound}}.{rig.names('lab')}_{table}"
    return [row[0] for row in rig.run("lab_a", f"SELECT {key} FROM {base} ORDER BY {key}")]


def tables(rig: Rig, **rules: dict[str, Any]) -> dict[str, Any]:
    return rig.document({"lab_a": {"lab": {"tables": rules}}})


def left(rig: Rig, plan: planning.Plan, table: str) -> dict[str, int]:
    """The plan's reasons why entities of the table are skipped, with their counts."""
    return dict(link_of(plan, rig.address("lab_a", "lab", table)).left_out)


def test_a_null_restricts_nothing(pipeline: Rig) -> None:
    plan, report = pipeline.apply(tables(pipeline, Subject={"where": {"id": 1}}, Rig={}))
    assert report.succeeded
    assert pulled(pipeline, "rig") == [10, 30]
    assert left(pipeline, plan, "Rig") == {"their Subject is not pulled": 1}


@pytest.mark.parametrize("asked_back", [False, True])
def test_a_null_in_one_column_restricts_and_bars_nothing_though_the_others_are_of_the_key(
    pipeline: Rig, asked_back: bool
) -> None:
    script(
        pipeline,
        [
            "CREATE TABLE {lab}.day (id int, d int, PRIMARY KEY (id, d),"
            " FOREIGN KEY (id) REFERENCES {lab}.subject (id))",
            "CREATE TABLE {lab}.note (id int, n int, d int NULL, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id, d) REFERENCES {lab}.day (id, d))",
            "CREATE TABLE {lab}.remark (id int, n int, PRIMARY KEY (id, n),"
            " FOREIGN KEY (id, n) REFERENCES {lab}.note (id, n))",
            "INSERT INTO {lab}.day VALUES (1, 1), (2, 1)",
            "INSERT INTO {lab}.note VALUES (1, 1, 1), (1, 2, NULL), (2, 1, 1), (2, 2, NULL)",
            "INSERT INTO {lab}.remark SELECT id, n FROM {lab}.note",
        ],
    )
    rules: dict[str, dict[str, Any]] = {"Day": {}, "Note": {}, "Remark": {}}
    chosen: dict[str, Any] = {} if asked_back else {"where": {"id": 1}}
    if asked_back:
        pipeline.apply(tables(pipeline, Subject={"where": {"id": 3}}))
        requests = f"{{outbound}}.{pipeline.names('lab')}_subject_deletion_requested"
        pipeline.run("lab_a", f"INSERT INTO {requests} (id) VALUES (2)")
    plan, report = pipeline.apply(tables(pipeline, Subject=chosen, **rules))
    assert report.succeeded
    for table in ("note", "remark"):
        base = f"{{outbound}}.{pipeline.names('lab')}_{table}"
        rows = pipeline.run("lab_a", f"SELECT id, n FROM {base} ORDER BY 1, 2")
        assert rows == [(1, 1), (1, 2), (2, 2)], table
    assert left(pipeline, plan, "Note") == ({} if asked_back else {"their Day is not pulled": 1})


def test_a_null_is_not_true(pipeline: Rig) -> None:
    plan, _ = pipeline.apply(tables(pipeline, Subject={"where": "NOT v = 1"}))
    assert pulled(pipeline, "subject") == [2]
    assert left(pipeline, plan, "Subject") == {"not selected by `where`": 2}


def test_one_unwanted_reference_in_one_part_row_leaves_out_the_entity(pipeline: Rig) -> None:
    pipeline.run("lab_a", "INSERT INTO {lab}.session__trial VALUES (100, 1, 1), (100, 2, NULL), (100, 3, 2)")
    pipeline.run("lab_a", "INSERT INTO {lab}.session__trial VALUES (200, 1, 1), (300, 1, NULL)")
    plan, report = pipeline.apply(tables(pipeline, Subject={"where": {"id": 1}}, Session={}))
    assert report.succeeded
    assert pulled(pipeline, "session") == [200, 300]
    assert left(pipeline, plan, "Session") == {
        "their Subject is not pulled (referenced by part session__trial)": 1
    }


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("table", ["Subject", "Session"])  # with others below it, and without
def test_a_condition_that_fails_for_some_row_is_an_error_of_the_plan_that_shows_no_value(
    pipeline: Rig, table: str
) -> None:
    name = table.lower()
    rules: dict[str, dict[str, Any]] = {"Subject": {}, "Rig": {}, "Session": {}}
    pipeline.run("lab_a", f"ALTER TABLE {{lab}}.{name} ADD note varchar(9) NOT NULL DEFAULT 'private'")
    plan = pipeline.plan(tables(pipeline, **{**rules, table: {"where": "note = 5"}}))
    link = link_of(plan, pipeline.address("lab_a", "lab", table))
    [blocked] = link.blocked
    assert blocked.kind == "error"
    assert "`where`" in blocked.reason
    assert "compare values of the same type" in (blocked.hint or "")
    assert "private" not in repr(plan)
    quoted = tables(pipeline, **{**rules, table: {"where": "note = '5'"}})
    assert not pipeline.plan(quoted).has_errors


def test_needed_restricts_nothing_itself_and_passes_on_what_its_parents_restrict(pipeline: Rig) -> None:
    rules: dict[str, dict[str, Any]] = {"Rig": {"pull": "needed"}, "Session": {"where": "s >= 200"}}
    plan, report = pipeline.apply(tables(pipeline, Subject={"where": {"id": [1, 3]}}, **rules))
    assert report.succeeded
    # rig 20 is of subject 2, so it is not allowed, nor is its session; rig 10 is allowed and not needed
    assert (pulled(pipeline, "session"), pulled(pipeline, "rig")) == ([300], [30])
    assert left(pipeline, plan, "Rig") == {
        "their Subject is not pulled": 1,
        "not referenced by a wanted row": 1,
    }
    assert left(pipeline, plan, "Session") == {"not selected by `where`": 1, "their Rig is not pulled": 1}


def test_needed_wants_what_a_held_child_refers_to(pipeline: Rig) -> None:
    pipeline.apply(tables(pipeline, Rig={"pull": "needed"}, Session={"where": {"s": 100}}))
    pipeline.run("lab_a", f"DELETE FROM {{outbound}}.{pipeline.names('lab')}_rig")
    local_schema = pipeline.local_schema("lab_a", "lab")
    script(pipeline, ["SET foreign_key_checks = 0", f"DELETE FROM `{local_schema}`.rig"], "local")
    pipeline.apply(tables(pipeline, Rig={"pull": "needed"}, Session={"where": {"s": 300}}))
    assert (pulled(pipeline, "session"), pulled(pipeline, "rig")) == ([100, 300], [10, 30])


def test_none_wants_what_outbound_holds(pipeline: Rig) -> None:
    pipeline.apply(tables(pipeline, Rig={"where": "r < 30"}))
    plan, report = pipeline.apply(tables(pipeline, Rig={"pull": "none"}, Session={}))
    assert report.succeeded
    assert (pulled(pipeline, "rig"), pulled(pipeline, "session")) == ([10, 20], [100, 200])
    assert left(pipeline, plan, "Session") == {"their Rig is not pulled": 1}


@pytest.mark.parametrize("barring", ["deletion_requested", "deletion_approved"])
def test_a_request_or_approval_on_an_ancestor_bars(pipeline: Rig, barring: str) -> None:
    pipeline.apply(tables(pipeline, Subject={"where": {"id": 3}}))
    requests = f"{{outbound}}.{pipeline.names('lab')}_subject_{barring}"
    pipeline.run("lab_a", f"INSERT INTO {requests} (id) VALUES (2)")
    plan, report = pipeline.apply(tables(pipeline, Subject={}, Rig={}, Session={}))
    assert report.succeeded
    assert (pulled(pipeline, "subject"), pulled(pipeline, "rig")) == ([1, 3], [10, 30])
    assert pulled(pipeline, "session") == [100, 300]
    assert left(pipeline, plan, "Session") == {}  # wanted all the same: requests play no part in that


def test_an_entity_barred_by_two_of_its_part_rows_counts_once(pipeline: Rig) -> None:
    pipeline.run("lab_a", "INSERT INTO {lab}.session__trial VALUES (100, 1, 1), (100, 2, 2), (200, 1, 3)")
    rules: dict[str, dict[str, Any]] = {"Subject": {}, "Session": {}}
    pipeline.apply(tables(pipeline, Subject={}))
    requests = f"{{outbound}}.{pipeline.names('lab')}_subject_deletion_requested"
    pipeline.run("lab_a", f"INSERT INTO {requests} (id) VALUES (1), (2)")
    plan, report = pipeline.apply(tables(pipeline, **rules))
    assert report.succeeded
    assert pulled(pipeline, "session") == [200, 300]
    assert link_of(plan, pipeline.address("lab_a", "lab", "Session")).source_rows == 3


def diamonds(levels: int, secondary: bool) -> Iterator[str]:
    """Tables a0, and b, c below each a, and the next a below both."""
    extra = ", {0} int NOT NULL" if secondary else ""
    key = "{0}" if secondary else "k"

    def made(name: str, *parents: str) -> str:
        columns = "".join(extra.format(f"to_{p}") for p in parents)
        keys = "".join(f", FOREIGN KEY ({key.format(f'to_{p}')}) REFERENCES {{lab}}.{p} (k)" for p in parents)
        return f"CREATE TABLE {{lab}}.{name} (k int PRIMARY KEY{columns}{keys})"

    yield "CREATE TABLE {lab}.a0 (k int PRIMARY KEY)"
    for n in range(1, levels + 1):
        yield made(f"b{n}", f"a{n - 1}")
        yield made(f"c{n}", f"a{n - 1}")
        yield made(f"a{n}", f"b{n}", f"c{n}")


def test_a_server_takes_the_sql_of_a_chain_of_twelve_diamonds(rig: Rig) -> None:
    script(rig, ["CREATE DATABASE {lab}", *diamonds(12, False)])
    names = ["a0", *(f"{letter}{n}" for n in range(1, 13) for letter in "bca")]
    script(rig, [f"INSERT INTO {{lab}}.{name} VALUES (1), (2), (3)" for name in names])
    rig.accounts({"lab_a": ["lab"]})
    plan = rig.plan(tables(rig, a0={"where": "k < 3"}, **{"[abc]*": {}}))
    assert not plan.has_errors
    pulls = [a.entities for link in plan.links for a in link.actions if isinstance(a, Pull)]
    assert pulls == [2] * len(names)
