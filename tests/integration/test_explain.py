"""One entity explained: its state, the rule that decides, and what is in the way, as the plan has it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.explanation import Explanation, Reason
from djlink_manifest.reconcile.explain.commands import explain, rehearse
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.report.commands.explain import explanation_json, explanation_lines
from djlink_manifest.report.screen.layout import laid_out
from tests.support.pipelines.sessions import TABLES, locally
from tests.support.rig import Rig
from tests.support.servers import ALIKE, CROSSED, PAIRS
from tests.support.sql import ask, run_all

ALL = pytest.mark.parametrize("servers", PAIRS, indirect=True, ids=str)
TWO = pytest.mark.parametrize("servers", [ALIKE[0], CROSSED[0]], indirect=True, ids=str)
MORE = (
    "CREATE TABLE {lab}.rig (code varchar(9) PRIMARY KEY)",
    "CREATE TABLE {lab}.session__used (id int, n int, code varchar(9), PRIMARY KEY (id, n, code),"
    " FOREIGN KEY (id, n) REFERENCES {lab}.session (id, n), FOREIGN KEY (code) REFERENCES {lab}.rig (code))",
    "INSERT INTO {lab}.rig VALUES ('r1'), ('r2'), ('r,3')",
    "INSERT INTO {lab}.session__used VALUES (1, 1, 'r1'), (2, 1, 'r2'), (3, 2, 'r,3')",
    "INSERT INTO {lab}.subject VALUES (4, NULL), (5, 'e')",
    "INSERT INTO {lab}.session VALUES (4, 1, NULL), (5, 1, 'n'), (5, 2, 'n')",
)


@pytest.fixture
def lab(rig: Rig) -> Rig:
    run_all(rig, *TABLES, *MORE)
    rig.accounts({"lab_a": ["lab"]})
    return rig


def chosen(rig: Rig, **tables: Any) -> dict[str, Any]:
    """A manifest of all three tables, with options for some."""
    rules = {name: tables.get(name, {}) for name in ("Subject", "Session", "Rig")}
    return rig.document({"lab_a": {"lab": {"tables": rules}}})


def told(rig: Rig, document: dict[str, Any], table: str, key: str) -> tuple[Explanation, LinkPlan]:
    with rig.job(document) as job:
        return explain(job, rig.address("lab_a", "lab", table), key)


def only(explanation: Explanation, rule: str, *, holds: bool = False) -> Reason:
    [reason] = [r for r in explanation.reasons if r.rule == rule and r.holds is holds]
    return reason


@ALL
def test_an_entity_is_followed_from_unshared_to_shared_and_on(lab: Rig) -> None:
    document = chosen(lab)
    before, plan = told(lab, document, "Session", "id=1,n=1")
    assert (before.state, before.step, before.wanted, before.pullable) == ("unshared", "pull", True, True)
    assert [getattr(a, "entities", None) for a in plan.actions][-1] == 1
    assert lab.apply(document)[1].succeeded
    after, plan = told(lab, document, "Session", "n=1, id=1")
    assert (after.state, after.equal, after.step) == ("shared", True, "-")
    assert after.key == (("id", "1"), ("n", "1"))
    assert after.records.pulled_at is not None
    assert (plan.actions, plan.blocked) == ((), ())
    locally(lab, "UPDATE {here}.session__trial SET tag = 'other' WHERE id = 1")
    changed, plan = told(lab, document, "Session", "id=1,n=1")
    assert (changed.state, changed.equal) == ("shared", False)
    assert [d.count for d in plan.drift] == [1]
    run_all(
        lab,
        f"INSERT INTO {lab.outbound_table('lab', 'session_deletion_requested')} (id, n, reason)"
        " VALUES (1, 1, 'withdrawn')".replace("{outbound}", lab.outbound),
    )
    asked, plan = told(lab, document, "Session", "id=1,n=1")
    assert (asked.state, asked.pullable, asked.records.reason) == ("tainted", False, "withdrawn")
    assert asked.records.requested_by.startswith("root@")
    assert [b.kind for b in plan.blocked] == ["review"]
    assert "djlink requests" in str(plan.blocked[0].hint)
    assert asked.step == "await review"
    automatic, _ = told(
        lab, {**document, "defaults": {**document["defaults"], "deletions": "auto"}}, "Session", "id=1,n=1"
    )
    assert automatic.step == "delete, then approve"


@TWO
def test_the_parent_the_rule_and_the_value_that_leave_an_entity_out_are_named(lab: Rig) -> None:
    document = chosen(lab, Subject={"where": "name <> 'c'"}, Rig={"where": {"code": ["r1", "r,3"]}})
    left, _ = told(lab, document, "Session", "id=3,n=1")
    assert (left.wanted, left.step) == (False, "-")
    reason = next(r for r in left.reasons if not r.holds)
    assert (reason.rule, reason.parent.endswith(".Subject")) == ("foreign key", True)
    assert reason.key == (("id", "3"),)
    [why] = reason.because
    assert (why.rule, why.words) == ("where", "`where` is not met: name <> 'c'")
    assert "djlink.yaml:" in why.place
    null, _ = told(lab, document, "Subject", "id=4")
    assert "is NULL for this row" in only(null, "where").words
    by_part, _ = told(lab, document, "Session", "id=2,n=1")
    reason = next(r for r in by_part.reasons if not r.holds)
    assert "of part session__used" in reason.words
    assert reason.key == (("code", "r2"),)
    assert "code in (r1, r,3)" in reason.because[0].words
    good, _ = told(lab, document, "Session", "id=1,n=1")
    assert good.pullable
    assert all(r.holds for r in good.reasons)
    quoted, _ = told(lab, document, "Rig", '{"code": "r,3"}')
    assert quoted.wanted


@TWO
def test_needed_tells_who_needs_it_and_none_what_is_held(lab: Rig) -> None:
    document = chosen(lab, Rig={"pull": "needed"}, Session={"where": {"id": [1, 5]}})
    needed, _ = told(lab, document, "Rig", "code=r1")
    assert needed.wanted
    assert "1 row refers to it, 1 of them in wanted" in only(needed, "needed by", holds=True).words
    idle, _ = told(lab, document, "Rig", "code=r2")
    assert not idle.wanted
    assert "1 row refers to it, 0 of them" in only(idle, "needed by").words
    assert lab.apply(document)[1].succeeded
    frozen = chosen(lab, Rig={"pull": "none"}, Session={"where": {"id": [1, 5]}})
    held, _ = told(lab, frozen, "Rig", "code=r1")
    new, _ = told(lab, frozen, "Rig", "code=r2")
    assert "new rows are not" in only(held, "pull", holds=True).words
    assert "new rows are not" in only(new, "pull").words


@ALL
def test_a_request_on_an_ancestor_and_rows_of_the_labs_own_are_named(lab: Rig) -> None:
    document = chosen(lab)
    assert lab.apply(document)[1].succeeded
    run_all(
        lab,
        "INSERT INTO {lab}.subject VALUES (6, 'f'), (7, 'mine')",
        "INSERT INTO {lab}.session VALUES (6, 1, NULL), (7, 1, NULL)",
        f"INSERT INTO `{lab.outbound}`.`{lab.names('lab')}_subject_deletion_requested` (id) VALUES (6)",
    )
    locally(
        lab,
        "INSERT INTO {here}.subject VALUES (90, 'mine'), (8, 'x')",
    )
    below, _ = told(lab, document, "Session", "id=6,n=1")
    assert (below.wanted, below.pullable, below.step) == (True, False, "-")
    request = only(below, "request")
    assert (request.parent.endswith(".Subject"), request.key) == (True, (("id", "6"),))
    taken, plan = told(lab, document, "Subject", "id=7")
    assert only(taken, "unique key").key == (("id", "90"),)
    assert [(b.kind, b.count) for b in plan.blocked] == [("error", 1)]
    assert plan.actions == ()
    waits, plan = told(lab, document, "Session", "id=7,n=1")
    reason = next(r for r in waits.reasons if not r.holds)
    assert [r.rule for r in reason.because] == ["unique key"]
    assert [(b.kind, b.count) for b in plan.blocked] == [("upstream", 1)]
    assert told(lab, document, "Subject", "id=8")[0].state == "orphan"
    run_all(lab, "INSERT INTO {lab}.subject VALUES (8, 'y')")
    differs, plan = told(lab, document, "Subject", "id=8")
    assert (differs.state, differs.equal) == ("unprotected", False)
    assert "differ from their source rows" in plan.blocked[0].reason
    nowhere, plan = told(lab, document, "Subject", "id=123")
    assert (nowhere.state, nowhere.key, plan.blocked) == ("absent", (("id", "123"),), ())


@TWO
def test_what_is_said_of_each_entity_adds_up_to_the_plan(lab: Rig) -> None:
    document = chosen(
        lab, Subject={"where": {"name": ["a", "b", "e"]}}, Rig={"pull": "needed"}, Session={"where": "n < 2"}
    )
    assert lab.apply(document)[1].succeeded
    run_all(
        lab,
        "INSERT INTO {lab}.subject VALUES (6, 'a2')",
        f"INSERT INTO `{lab.outbound}`.`{lab.names('lab')}_session_deletion_requested` (id, n)"
        " VALUES (1, 1), (5, 2)",
        f"DELETE FROM `{lab.outbound}`.`{lab.names('lab')}_session` WHERE id = 2",
    )
    locally(lab, "DELETE FROM {here}.session__trial WHERE id = 5", "DELETE FROM {here}.session WHERE id = 5")
    with lab.job(document) as job:
        job.plan()
        for link in job.links:
            keys = ask(
                lab.servers.lab_a,
                f"SELECT {', '.join(link.key)} FROM `{link.definition.schema}`.`{link.definition.name}`",
            )
            counted = Counter[tuple[Any, ...]]()
            for values in keys:
                pairs = dict(zip(link.key, values, strict=True))
                text = "{" + ", ".join(f'"{n}": "{v}"' for n, v in pairs.items()) + "}"
                one, _ = explain(job, link.address, text)
                counted[one.presence, one.wanted, one.pullable] += 1
            snapshot = job.observed.snapshots[link.address]
            assert counted == {(c.presence, c.wanted, c.pullable): n for c, n in snapshot.counts.items()}


@TWO
def test_a_link_that_is_refused_or_below_one_says_so_beside_the_entity(lab: Rig) -> None:
    document = chosen(lab)
    assert lab.apply(document)[1].succeeded
    locally(lab, "ALTER TABLE {here}.subject MODIFY name varchar(8)")
    for table, key, kind in (("Subject", "id=1", "error"), ("Session", "id=1,n=1", "upstream")):
        explanation, plan = told(lab, document, table, key)
        assert explanation.state == "shared"
        assert [(b.kind, b.whole) for b in plan.blocked] == [(kind, True)]


def test_a_source_that_is_down_is_told_and_not_taken_for_a_wrong_address(lab: Rig) -> None:
    document = chosen(lab)
    document["sources"]["lab_a"]["port"] = 1
    with pytest.raises(UsageError, match=r"lab_a is unavailable: .* cannot be reached"):
        told(lab, document, "Subject", "id=1")
    with lab.job(document) as job, pytest.raises(UsageError, match="is unavailable"):
        rehearse(job, ["lab_a.*"])


def test_what_is_no_link_or_no_key_is_told_with_what_is(lab: Rig) -> None:
    with lab.job(chosen(lab)) as job:
        for table, key, words, hint in (
            ("Subject", "id=1,m=2", "`m` is not a primary key attribute", "id=…"),
            ("Subject", "idd=1", "`idd` is not a primary key attribute", "did you mean `id`?"),
            ("Session", "id=1", "the key lacks `n`", "id=…,n=…"),
            ("Session", "id=one,n=1", "`id` is a number", "id=…,n=…"),
            ("Subjekt", "id=1", "this manifest has no such link", "Subject"),
        ):
            with pytest.raises(UsageError, match=words) as error:
                explain(job, lab.address("lab_a", "lab", table), key)
            assert hint in str(error.value.hint)


@TWO
def test_a_key_of_quotes_wildcards_and_control_characters_is_found_and_shown_as_escapes(lab: Rig) -> None:
    value = "x'\"%s`\n\x1b[31m\\"
    run_all(lab, "CREATE TABLE {lab}.odd (k varchar(40) PRIMARY KEY)")
    ask(lab.servers.lab_a, f"INSERT INTO `{lab.names('lab')}`.odd VALUES (%s)", (value,))
    document = lab.document({"lab_a": {"lab": {"tables": {"Odd": {"where": {"k": value}}}}}})
    assert lab.apply(document)[1].succeeded
    explanation, plan = told(lab, document, "Odd", json.dumps({"k": value}))
    assert (explanation.state, explanation.key) == ("shared", (("k", value),))
    text = "\n".join(each.plain for each in laid_out(explanation_lines(explanation, plan)))
    assert "\x1b" not in text
    assert "`\\n\\x1b[31m" in text
    assert json.loads(json.dumps(explanation_json(explanation, plan)))["key"] == {"k": value}


@TWO
def test_keys_of_bytes_are_written_in_hex_or_as_a_uuid(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.blob (u binary(16), v varbinary(9), d decimal(9,3), PRIMARY KEY (u, v, d))",
        "INSERT INTO {lab}.blob VALUES (X'00112233445566778899AABBCCDDEEFF', X'00FF', 1.100)",
    )
    document = lab.document({"lab_a": {"lab": {"tables": ["Blob"]}}})
    assert lab.apply(document)[1].succeeded
    text = "u=00112233-4455-6677-8899-aabbccddeeff,v=0x00ff,d=1.1"
    explanation, _ = told(lab, document, "Blob", text)
    assert (explanation.state, explanation.equal) == ("shared", True)
    assert dict(explanation.key)["v"] == "0x00ff"


@ALL
def test_keys_in_another_character_set_are_found_and_what_it_lacks_is_absent(lab: Rig) -> None:
    run_all(
        lab,
        "CREATE TABLE {lab}.word (german varchar(9) CHARACTER SET latin1 COLLATE latin1_german1_ci,"
        " three varchar(9) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci, n int,"
        " PRIMARY KEY (german, three))",
        "INSERT INTO {lab}.word VALUES ('Ä', '日', 1), ('?', '?', 2)",
    )
    document = lab.document({"lab_a": {"lab": {"tables": ["Word"]}}})
    assert lab.apply(document)[1].succeeded
    explanation, _ = told(lab, document, "Word", "german=Ä,three=日")
    assert (explanation.state, explanation.equal) == ("shared", True)
    for key in ("german=日,three=?", "german=?,three=😀"):
        assert told(lab, document, "Word", key)[0].state == "absent", key
