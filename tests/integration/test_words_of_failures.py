"""What an apply says when things change under it: the server, the cause in our words, and a next step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults.pipeline import Faulty, ends, faulty
from tests.support.rig import quiet
from tests.support.servers import ALIKE, Servers

GONE = "a schema or table no longer exists"
CASES = {
    "the source's table is renamed": ("lab_a", "RENAME TABLE {lab}.note TO {lab}.other", GONE),
    "a column of the source's table goes": (
        "lab_a",
        "ALTER TABLE {lab}.note DROP COLUMN v",
        "a column or index",
    ),
    "the source's schema is dropped": ("lab_a", "DROP DATABASE {lab}", GONE),
    "the local table is dropped": ("local", "DROP TABLE {local}.note", GONE),
    "the local schema is dropped": ("local", "DROP DATABASE {local}", GONE),
    "a right at the source is revoked": (
        "lab_a",
        "REVOKE SELECT ON {lab}.* FROM {link}",
        "the account lacks a privilege",
    ),
    "the right to write outbound rows is revoked": (
        "lab_a",
        "REVOKE INSERT ON {outbound}.* FROM {link}",
        "the account lacks a privilege",
    ),
}


@pytest.fixture
def lab(servers: Servers, tmp_path: Path) -> Iterator[Faulty]:
    """The pipeline, its tables made, of which Note alone is to be pulled."""
    with faulty(servers, tmp_path) as found:
        found.rig.run("lab_a", "DROP TABLE {lab}.session__trial, {lab}.session, {lab}.subject")
        found.make_tables()
        yield found


def changed(lab: Faulty, server: str, text: str) -> None:
    rig = lab.rig
    pattern = rig.names("lab").replace("_", r"\_")
    outbound = rig.outbound.replace("_", r"\_")
    if text.startswith("REVOKE"):
        names = {"lab": f"`{pattern}`", "outbound": f"`{outbound}`", "link": f"'{rig.names('link')}'@'%'"}
    else:
        names = {"lab": f"`{rig.names('lab')}`", "local": f"`{lab.local}`"}
    with rig.server(server).connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION foreign_key_checks = 0")
        cursor.execute(text.format(**names))


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_what_changes_between_plan_and_apply_is_told_in_our_words(lab: Faulty, case: str) -> None:
    server, text, words = CASES[case]
    with lab.rig.job(lab.document) as job:
        plan = job.plan()
        assert plan.has_changes
        changed(lab, server, text)
        report = job.apply(plan, quiet, threading.Event())
    assert ends(report)["Scan"] == "done"
    [failed] = [o for o in report.outcomes if o.status == "failed"]
    assert str(failed.problem).startswith(f"{server}: {words}"), failed.problem
    assert failed.hint
    assert "unexpected" not in str(failed.problem)


def test_two_manifests_that_link_one_local_table_at_once_are_told_so(lab: Faulty) -> None:
    lab.rig.run("lab_a", "CREATE TABLE {lab}.late (k int PRIMARY KEY)")
    other = {**lab.document, "name": lab.rig.names("other")}
    with lab.rig.job(lab.document) as one:
        first = one.plan()
        with lab.rig.job(other) as two:
            second = two.plan()
            assert one.apply(first, quiet, threading.Event()).succeeded
            report = two.apply(second, quiet, threading.Event())
    [failed] = [o for o in report.outcomes if o.address.endswith(".Late")]
    assert failed.status == "failed"
    assert "has just been linked by somebody else" in str(failed.problem), failed.problem
    assert "djlink plan" in str(failed.hint)
