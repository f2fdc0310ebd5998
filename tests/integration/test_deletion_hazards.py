"""What may come between while deletions are done: withdrawals, rows of the lab's own, lost sessions."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import pytest

from djlink_manifest.model.links.link import Limit
from djlink_manifest.reconcile.plan.actions import Approve, Mend, NoteRequests
from djlink_manifest.sandbox.servers.accounts import quoted_name
from djlink_manifest.servers.session import login
from tests.support.pipelines.deletion import (
    approvals,
    auto,
    deletes,
    document,
    lab,
    local,
    of,
    outbound,
    own_table,
    request,
    with_approvals,
)
from tests.support.rig import PASSWORD, Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask, run_all
from tests.support.statements import Statement, kill, once, watched

__all__ = ["lab"]  # a fixture


def as_root(rig: Rig, text: str) -> Callable[[Statement], None]:
    """What runs a statement on the source's server, as its administrator."""

    def run(_: Statement) -> None:
        rig.run("lab_a", text)

    return run


def locks_requests(statement: Statement) -> bool:
    return "FOR UPDATE" in statement.text and "deletion_requested` r WHERE" in statement.text


def test_a_withdrawal_that_comes_in_time_wins(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 2)")
    asked = lab.outbound_table("lab", "spikes_deletion_requested")
    hook = once(locks_requests, as_root(lab, f"DELETE FROM {asked} WHERE id = 1"))
    with watched(hook):
        plan, report = lab.apply(auto(lab))
    assert report.succeeded
    assert [d.entities for d in deletes(of(lab, plan, "Spikes"))] == [2]
    assert local(lab, "spikes", "id") == {(1,), (3,)}
    assert outbound(lab, "spikes_deletion_approved", "id") == [(2,)]
    assert local(lab, "spikes__deletion_requested", "id") == set()
    events = outbound(lab, "spikes_history", "id, event")
    assert events == [(1, "requested"), (1, "withdrawn"), (2, "approved (auto)"), (2, "requested")]
    assert not lab.plan(auto(lab)).has_changes


def test_a_withdrawal_under_the_lock_waits_and_comes_too_late(lab: Rig) -> None:
    request(lab, "spikes", "id = 1")
    asked = lab.outbound_table("lab", "spikes_deletion_requested")
    withdrawing = threading.Thread(target=lab.run, args=("lab_a", f"DELETE FROM {asked} WHERE id = 1"))

    def deleting(statement: Statement) -> bool:
        return statement.begins("DELETE `") and ".`spikes` FROM" in statement.text

    with watched(once(deleting, lambda _: withdrawing.start())):
        _, report = lab.apply(auto(lab))
    withdrawing.join(20)
    assert report.succeeded
    assert local(lab, "spikes", "id") == {(2,), (3,)}
    assert outbound(lab, "spikes_deletion_approved", "id") == [(1,)]
    assert outbound(lab, "spikes_deletion_requested", "id") == []
    assert not lab.plan(auto(lab)).has_changes


def test_rows_of_the_labs_own_hold_back_what_they_depend_on_and_the_plans_line_deletes_them(lab: Rig) -> None:
    fit = own_table(lab, "session (name, n)")
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (1, 'ann', 2), (2, 'eve', 1)")
    request(lab, "subject", "name IN ('ann', 'bob')")
    plan, report = lab.apply(auto(lab))
    subject = of(lab, plan, "Subject")
    assert report.succeeded
    assert not plan.has_errors
    assert [d.entities for d in deletes(subject)] == [1]
    assert local(lab, "subject", "name") == {("ann",), ("eve",)}
    [held] = [b for b in subject.blocked if b.kind == "review"]
    assert held.count == 1
    assert f"{fit.replace('`', '')} (1 row)" in held.reason

    line = (held.hint or "").partition("apply again: ")[2]
    removed = run_line(lab, line)
    assert removed == 1
    assert ask(lab.servers.local, f"SELECT id FROM {fit}") == [(2,)]
    _, report = lab.apply(auto(lab))
    assert report.succeeded
    assert local(lab, "subject", "name") == {("eve",)}
    events = outbound(lab, "subject_history", "name, event")
    assert [name for name, event in events if event == "requested"] == ["ann", "bob"]


def test_requests_that_are_noted_do_not_travel_again_and_a_later_one_is_told_from_them(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 2)")
    assert lab.apply(document(lab))[1].succeeded
    assert local(lab, "spikes__deletion_requested", "id") == {(1,), (2,)}
    with watched(prefix=lab.names("")) as sent:
        assert not lab.plan(document(lab)).has_changes
    # MariaDB cuts off the fraction of a second that MySQL rounds: between them requests are compared
    if lab.servers.pair in ALIKE:
        assert not [s for s in sent if "~djlink_requests" in s.text]
    request(lab, "spikes", "id = 3")
    [noting] = [a for a in of(lab, lab.plan(document(lab)), "Spikes").actions if isinstance(a, NoteRequests)]
    assert (noting.new, noting.withdrawn) == (1, 0)


def run_line(rig: Rig, line: str) -> int:
    """Let DataJoint do what a line of a plan says, without its question."""
    import datajoint as dj

    from djlink_manifest.sandbox.demo.pipeline import connect

    connection = connect(rig.servers.local, rig.names("lab"), PASSWORD)
    try:

        class Here:
            U = dj.U
            Schema = staticmethod(functools.partial(dj.Schema, connection=connection))

        silent = line.replace(".delete()", ".delete(prompt=False)")
        deleted: int = eval(silent, {"dj": Here})
        return deleted
    finally:
        connection.close()


@pytest.mark.parametrize("rule", ["RESTRICT", "CASCADE", "SET NULL"])
def test_a_lab_row_that_comes_while_the_deletion_runs_keeps_its_entity(lab: Rig, rule: str) -> None:
    fit = own_table(lab, rule=rule)
    request(lab, "subject", "name IN ('ann', 'bob')")

    def locking(statement: Statement) -> bool:
        return "~djlink_doomed" in statement.text and "FOR UPDATE" in statement.text

    def insert(_: Statement) -> None:
        ask(lab.servers.local, f"INSERT INTO {fit} VALUES (7, 'ann')")

    with watched(once(locking, insert)):
        _, report = lab.apply(auto(lab))
    assert report.succeeded
    assert ask(lab.servers.local, f"SELECT * FROM {fit}") == [(7, "ann")]
    assert local(lab, "subject", "name") == {("ann",), ("eve",)}
    assert outbound(lab, "subject_deletion_approved", "name") == [("bob",)]
    assert [b.count for b in of(lab, lab.plan(auto(lab)), "Subject").blocked] == [1]


@pytest.mark.parametrize("rule", ["RESTRICT", "CASCADE"])
def test_a_lab_row_that_comes_after_the_lock_waits_and_is_refused(lab: Rig, rule: str) -> None:
    fit, told = own_table(lab, rule=rule), list[str]()

    def insert() -> None:
        with lab.servers.local.connect() as connection, connection.cursor() as cursor:
            try:
                cursor.execute(f"INSERT INTO {fit} VALUES (7, 'ann')")
            except Exception as error:  # the server's refusal
                told.append(str(error))

    inserting = threading.Thread(target=insert)
    request(lab, "subject", "name = 'ann'")

    def deleting(statement: Statement) -> bool:
        return statement.begins("DELETE `") and ".`subject` FROM" in statement.text

    with watched(once(deleting, lambda _: inserting.start())):
        _, report = lab.apply(auto(lab))
    inserting.join(20)
    assert report.succeeded
    assert len(told) == 1
    assert "foreign key constraint fails" in told[0]
    assert ask(lab.servers.local, f"SELECT * FROM {fit}") == []


def test_rows_that_the_account_cannot_see_keep_the_whole_batch_and_the_error_says_what_to_do(
    lab: Rig,
) -> None:
    fit = own_table(lab)
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (7, 'ann')")
    hidden = lab.names("own").replace(lab.names(""), "hidden" + lab.names("")[:9] + "_")
    ask(lab.servers.local, f"CREATE DATABASE {quoted_name(hidden)}")
    try:
        ask(lab.servers.local, f"RENAME TABLE {fit} TO {quoted_name(hidden)}.fit")
        request(lab, "subject", "name = 'ann'")
        _, report = lab.apply(auto(lab))
        [failed] = [o for o in report.outcomes if o.status == "failed" and o.problem != ""][:1]
        assert "rows of a table that the local account cannot see refer to them" in (failed.problem or "")
        assert "GRANT SELECT" in (failed.hint or "")
        assert ("ann",) in local(lab, "subject", "name")
        assert local(lab, "subject__deletion_requested", "name") == {("ann",)}
        assert outbound(lab, "subject_deletion_approved") == []
    finally:
        ask(lab.servers.local, f"DROP DATABASE {quoted_name(hidden)}")


@pytest.mark.parametrize("words", ["INSERT INTO", "COMMIT"])
def test_a_connection_lost_between_local_delete_and_approval_is_made_good(lab: Rig, words: str) -> None:
    request(lab, "session", "name = 'ann'")
    seen = list[Statement]()

    def telling(statement: Statement) -> bool:
        """The first word to the source after the local rows went."""
        seen.append(statement)
        gone = any(s.begins("DELETE `") and ".`session` FROM" in s.text for s in seen)
        at_source = statement.port == lab.servers.lab_a.port
        approving = any("_deletion_approved` (" in s.text for s in seen)
        return gone and at_source and statement.begins(words) and approving

    with watched(once(telling, lambda s: kill(lab, "lab_a", s.session))):
        _, report = lab.apply(auto(lab))
    assert report.succeeded, report.outcomes
    assert local(lab, "session", "name, n") == {("bob", 1), ("eve", 1)}
    assert outbound(lab, "session_deletion_approved", "name, n") == [("ann", 1), ("ann", 2)]
    _, report = lab.apply(auto(lab))
    assert report.succeeded
    assert outbound(lab, "spikes", "id") == [(2,), (3,)]
    assert not lab.plan(auto(lab)).has_changes


def test_a_claim_outlives_what_comes_after_it(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    given = approvals(lab, document(lab))
    doc = with_approvals(document(lab), given)

    def deleting(statement: Statement) -> bool:
        return statement.begins("DELETE `") and ".`spikes` FROM" in statement.text

    stop = threading.Event()

    class Killed(BaseException):
        pass

    def die(_: Statement) -> None:
        raise Killed

    with pytest.raises(Killed), watched(once(deleting, die)):
        lab.apply(doc, stop=stop)
    assert len(local(lab, "subject")) == 3
    granted = outbound(lab, "subject_deletion_requested", "name, granted_by")
    assert granted == [("ann", "a.lee")]
    # a later request neither joins nor voids, and the approval is not needed any more
    request(lab, "subject", "name = 'bob'")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    subject = of(lab, plan, "Subject")
    assert [d.cause for d in deletes(subject)] == ["granted"]
    assert [b.count for b in subject.blocked] == [1]
    assert local(lab, "subject", "name") == {("bob",), ("eve",)}


def test_an_approval_of_another_set_is_void_and_nothing_goes(lab: Rig) -> None:
    request(lab, "subject", "name IN ('ann', 'bob')")
    given = approvals(lab, document(lab))
    asked = lab.outbound_table("lab", "subject_deletion_requested")
    lab.run("lab_a", f"DELETE FROM {asked} WHERE name = 'bob'")
    plan, report = lab.apply(with_approvals(document(lab), given))
    assert report.succeeded
    [block] = of(lab, plan, "Subject").blocked
    assert "is void: the set has changed (2 approved, 1 now)" in block.reason
    assert len(local(lab, "subject")) == 3


def test_a_set_that_changes_between_plan_and_claim_is_not_touched(lab: Rig) -> None:
    request(lab, "subject", "name IN ('ann', 'bob')")
    given = approvals(lab, document(lab))
    asked = lab.outbound_table("lab", "subject_deletion_requested")

    def claiming(statement: Statement) -> bool:
        return "CAST(" in statement.text and "FOR UPDATE" in statement.text

    withdraw = once(claiming, as_root(lab, f"DELETE FROM {asked} WHERE name = 'bob'"))
    with watched(withdraw):
        _, report = lab.apply(with_approvals(document(lab), given))
    [failed] = [o for o in report.outcomes if o.status == "failed"]
    assert "have changed since the plan was made: nothing was deleted" in (failed.problem or "")
    assert len(local(lab, "subject")) == 3


def test_more_requests_than_the_plan_showed_wait_for_the_next_plan(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    late = once(
        lambda s: "~djlink_doomed` (" in s.text and s.begins("INSERT"),
        lambda _: request(lab, "spikes", "id IN (1, 2)"),
    )
    with watched(late):
        _, report = lab.apply(auto(lab))
    assert report.succeeded
    assert len(local(lab, "spikes")) == 2
    _, report = lab.apply(auto(lab))
    assert local(lab, "spikes") == set()


def test_what_goes_without_review_is_bounded_over_a_day(lab: Rig) -> None:
    doc = auto(lab, max_deletions=1)
    request(lab, "spikes", "id = 3")
    _, report = lab.apply(doc)
    assert report.succeeded
    request(lab, "spikes", "id = 1")
    plan, _ = lab.apply(doc)
    [block] = of(lab, plan, "Spikes").blocked
    assert "`max_deletions` exceeded: 2 in 24 hours, limit 1" in block.reason
    assert local(lab, "spikes", "id") == {(1,), (2,)}
    ledger = lab.outbound_table("lab", "spikes_history")
    lab.run("lab_a", f"UPDATE {ledger} SET `at` = `at` - INTERVAL 25 HOUR")
    _, report = lab.apply(doc)
    assert local(lab, "spikes", "id") == {(2,)}


def test_what_is_wanted_no_longer_goes_but_for_what_is_needed(lab: Rig) -> None:
    fit = own_table(lab, "session (name, n)")
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (1, 'bob', 1)")
    tables = {"Subject": {"where": "name = 'eve'"}, "Session": {}, "Spikes": {}}
    doc = document(lab, tables, defaults={"unwanted": "release", "max_deletions": "100%"})
    plan, report = lab.apply(doc)
    assert report.succeeded
    assert [d.cause for d in deletes(of(lab, plan, "Session"))] == ["unwanted"]
    assert local(lab, "session", "name, n") == {("bob", 1), ("eve", 1)}
    assert local(lab, "subject", "name") == {("bob",), ("eve",)}
    assert local(lab, "spikes", "id") == {(3,)}
    assert outbound(lab, "subject", "name") == [("bob",), ("eve",)]
    session = of(lab, plan, "Session")
    assert session.kept == 1
    assert any("no longer wanted but kept" in w and "fit (1)" in w for w in session.warnings)
    assert outbound(lab, "subject_deletion_approved") == []
    # a request makes nothing unwanted, and nothing is pulled back
    again = lab.plan(doc)
    assert not again.has_changes
    # the manifest wants them again: they come
    _, report = lab.apply(document(lab))
    assert len(local(lab, "subject")) == 3


def test_approved_and_yet_held_is_mended(lab: Rig) -> None:
    approved = lab.outbound_table("lab", "spikes_deletion_approved")
    lab.run("lab_a", f"INSERT INTO {approved} (id) VALUES (1), (2)")
    ask(lab.servers.local, f"DELETE FROM `{lab.local_schema('lab_a', 'lab')}`.spikes WHERE id = 2")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert [a.entities for a in of(lab, plan, "Spikes").actions if isinstance(a, Mend)] == [2]
    assert outbound(lab, "spikes", "id") == [(1,), (3,)]
    assert outbound(lab, "spikes_deletion_approved", "id") == [(2,)]
    assert local(lab, "spikes", "id") == {(1,), (3,)}
    assert not lab.plan(document(lab)).has_changes


def test_requested_rows_without_protection_go_under_the_same_permission(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    lab.run("lab_a", f"DELETE FROM {lab.outbound_table('lab', 'spikes')} WHERE id = 3")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert [b.count for b in of(lab, plan, "Spikes").blocked] == [1]
    given = approvals(lab, document(lab))
    _, report = lab.apply(with_approvals(document(lab), given))
    assert report.succeeded
    assert local(lab, "spikes", "id") == {(1,), (2,)}
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]
    assert not lab.plan(document(lab)).has_changes


def test_rows_deleted_by_hand_are_approved_without_a_review(lab: Rig) -> None:
    request(lab, "spikes", "id = 3")
    ask(lab.servers.local, f"DELETE FROM `{lab.local_schema('lab_a', 'lab')}`.spikes WHERE id = 3")
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    assert [a.entities for a in of(lab, plan, "Spikes").actions if isinstance(a, Approve)] == [1]
    assert outbound(lab, "spikes_deletion_approved", "id") == [(3,)]


def test_approved_rows_that_a_backup_brings_back_are_told_and_kept_until_the_lab_deletes_them(
    lab: Rig,
) -> None:
    spikes = f"`{lab.local_schema('lab_a', 'lab')}`.spikes"
    request(lab, "spikes", "id = 3")
    ask(lab.servers.local, f"DELETE FROM {spikes} WHERE id = 3")
    assert lab.apply(document(lab))[1].succeeded
    ask(lab.servers.local, f"INSERT INTO {spikes} (id) VALUES (3)")
    assert approvals(lab, document(lab)) == (), "no open request is left that somebody could agree to"
    plan, report = lab.apply(document(lab))
    assert report.succeeded
    [block] = of(lab, plan, "Spikes").blocked
    assert (block.kind, block.count) == ("review", 1)
    assert "yourself" in str(block.hint)
    assert (3,) in local(lab, "spikes", "id")
    ask(lab.servers.local, f"DELETE FROM {spikes} WHERE id = 3")
    plan = lab.plan(document(lab))
    assert not plan.has_changes
    assert of(lab, plan, "Spikes").blocked == ()


def test_a_deletion_that_reaches_a_link_left_out_of_the_plan_is_not_done(lab: Rig) -> None:
    request(lab, "subject", "name = 'ann'")
    plan, _ = lab.apply(auto(lab), targets=[lab.address("lab_a", "lab", "Subject")])
    [block] = of(lab, plan, "Subject").blocked
    assert block.kind == "error"
    assert "Session" in block.reason
    assert len(local(lab, "subject")) == 3


def test_a_large_deletion_is_done_in_batches(lab: Rig) -> None:
    digit = f"({' UNION ALL '.join(f'SELECT {n} AS i' for n in range(10))})"
    run_all(
        lab,
        "INSERT INTO {lab}.session SELECT 'eve', 11 + a.i + 10 * b.i + 100 * c.i + 1000 * d.i"
        f" FROM {digit} a JOIN {digit} b JOIN {digit} c JOIN {digit} d WHERE d.i < 6",
        "INSERT INTO {lab}.session__trial SELECT name, n, 1 FROM {lab}.session WHERE n > 10",
    )
    _, report = lab.apply(auto(lab))
    assert report.succeeded
    request(lab, "session", "n > 10")
    with watched(prefix=lab.names("")) as sent:
        plan, report = lab.apply(auto(lab))
    assert report.succeeded
    assert [d.entities for d in deletes(of(lab, plan, "Session"))] == [6000]
    assert len(local(lab, "session")) == 4
    assert len(outbound(lab, "session_deletion_approved")) == 6000
    assert len(sent) < 300


def between(rig: Rig) -> None:
    """Ask for the sessions 11 to 30, pulled, all but 20, which lies between them and is not pulled."""
    tens = f"({' UNION ALL '.join(f'SELECT {n} AS i' for n in range(11, 31) if n != 20)})"
    run_all(rig, f"INSERT INTO {{lab}}.session SELECT 'eve', i FROM {tens} a")
    assert rig.apply(auto(rig))[1].succeeded
    request(rig, "session", "n > 10")


def ordered(rig: Rig) -> Callable[[Statement], bool]:
    """Whether a statement deletes local sessions in the order of their key."""
    local_schema = f"`{rig.local_schema('lab_a', 'lab')}`.`session`"
    return lambda statement: f"DELETE {local_schema} FROM {local_schema} STRAIGHT_JOIN" in statement.text


def test_a_row_that_comes_between_those_that_go_stays(lab: Rig) -> None:
    between(lab)
    local_schema = lab.local_schema("lab_a", "lab")

    def insert(_: Statement) -> None:
        ask(lab.servers.local, f"INSERT INTO `{local_schema}`.session (name, n) VALUES ('eve', 20)")

    with watched(once(ordered(lab), insert)) as sent:
        _, report = lab.apply(auto(lab))
    assert report.succeeded
    assert any(map(ordered(lab), sent))
    assert len(outbound(lab, "session_deletion_approved")) == 19
    assert [key for key in local(lab, "session", "name, n") if key[1] > 10] == [("eve", 20)]


def test_rows_go_by_their_keys_where_another_session_holds_one_between_them(
    lab: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    between(lab)
    local_schema = lab.local_schema("lab_a", "lab")
    ask(lab.servers.local, f"INSERT INTO `{local_schema}`.session (name, n) VALUES ('eve', 20)")
    impatient = tuple(each.replace("wait_timeout = 20", "wait_timeout = 1") for each in login.SETTINGS)
    monkeypatch.setattr(login, "SETTINGS", impatient)
    with lab.servers.local.connect() as held, held.cursor() as cursor, watched() as sent:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT n FROM `{local_schema}`.session WHERE name = 'eve' AND n = 20 FOR UPDATE")
        _, report = lab.apply(auto(lab))
    assert report.succeeded
    deleting = [s for s in sent if s.begins(f"DELETE `{local_schema}`.`session` FROM")]
    assert [ordered(lab)(each) for each in deleting] == [True, False]
    assert len(outbound(lab, "session_deletion_approved")) == 19
    assert [key for key in local(lab, "session", "name, n") if key[1] > 10] == [("eve", 20)]


def test_a_withdrawal_that_its_owner_entered_by_name_stands_once_in_the_ledger(lab: Rig) -> None:
    request(lab, "spikes", "id IN (1, 2)")
    _, report = lab.apply(document(lab))
    assert report.succeeded
    asked, ledger = (
        lab.outbound_table("lab", f"spikes_{n}") for n in ("deletion_requested", "history")
    )  # as the views of `djlink source withdraw` write them
    lab.run("lab_a", f"INSERT INTO {ledger} (id, event, who) VALUES (1, 'withdrawn', 'owner@x')")
    lab.run("lab_a", f"DELETE FROM {asked}")
    for _ in range(2):
        _, report = lab.apply(document(lab))
        assert report.succeeded
    events = outbound(lab, "spikes_history", "id, event, who LIKE 'owner%'")
    assert [e for e in events if e[1] == "withdrawn"] == [(1, "withdrawn", 1), (2, "withdrawn", 0)]
    # asked for and withdrawn once more, without a word: that is another one
    request(lab, "spikes", "id = 1")
    lab.apply(document(lab))
    lab.run("lab_a", f"DELETE FROM {asked}")
    lab.apply(document(lab))
    events = outbound(lab, "spikes_history", "id, event")
    assert events.count((1, "withdrawn")) == 2


def test_a_request_in_the_same_second_as_the_approved_ones_waits_for_the_next_approval(lab: Rig) -> None:
    request(lab, "spikes", "id = 1")
    asked = lab.outbound_table("lab", "spikes_deletion_requested")
    lab.run("lab_a", f"UPDATE {asked} SET requested_at = '2026-11-20 09:00:00.250000'")
    given = approvals(lab, document(lab))
    assert [a.until for a in given] == ["2026-11-20T09:00:00.250000Z"]
    request(lab, "spikes", "id = 2")
    lab.run("lab_a", f"UPDATE {asked} SET requested_at = '2026-11-20 09:00:00.750000' WHERE id = 2")
    plan, report = lab.apply(with_approvals(document(lab), given))
    assert report.succeeded, report.outcomes
    assert [b.count for b in of(lab, plan, "Spikes").blocked] == [1]
    assert local(lab, "spikes", "id") == {(2,), (3,)}
    assert not lab.plan(document(lab)).has_changes, "the noted moment is the request's"


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL"])
def test_rows_of_a_table_that_nobody_can_see_are_kept_where_the_account_can_know_and_else_warned_of(
    lab: Rig, rule: str
) -> None:
    fit = own_table(lab, rule=rule)
    ask(lab.servers.local, f"INSERT INTO {fit} VALUES (7, 'ann')")
    hidden = "hidden-" + lab.names("own")
    ask(lab.servers.local, f"CREATE DATABASE {quoted_name(hidden)}")
    account = f"'{lab.names('lab')}'@'%'"
    try:
        ask(lab.servers.local, f"RENAME TABLE {fit} TO {quoted_name(hidden)}.fit")
        request(lab, "subject", "name = 'ann'")
        plan = lab.plan(auto(lab))
        assert any("cannot tell whether a table that it cannot see" in w for w in plan.warnings)
        ask(lab.servers.local, f"GRANT PROCESS ON *.* TO {account}")
        plan, report = lab.apply(auto(lab))
        assert report.succeeded
        [block] = of(lab, plan, "Subject").blocked
        assert block.kind == "error"
        assert f"{hidden}.fit refers to them with ON DELETE CASCADE or SET NULL" in block.reason
        assert f"GRANT SELECT ON {quoted_name(hidden)}.`fit`" in (block.hint or "")
        assert ask(lab.servers.local, f"SELECT * FROM {quoted_name(hidden)}.fit") == [(7, "ann")]
        # once it is seen, its rows keep what they depend on, like all of the lab's own
        ask(lab.servers.local, f"GRANT SELECT ON {quoted_name(hidden)}.fit TO {account}")
        [block] = of(lab, lab.plan(auto(lab)), "Subject").blocked
        assert "rows of your own depend on them" in block.reason
    finally:
        ask(lab.servers.local, f"DROP DATABASE {quoted_name(hidden)}")


def test_what_the_sources_own_changes_make_unwanted_is_bounded_and_waits_until_it_is_said(lab: Rig) -> None:
    tables = {"Subject": {"where": "species = 'mouse'"}, "Session": {}, "Spikes": {}}
    doc = document(lab, tables, defaults={"unwanted": "release", "max_deletions": 1})
    assert lab.apply(doc)[1].succeeded
    assert local(lab, "subject", "name") == {("ann",), ("bob",)}
    ledger = lab.outbound_table("lab", "subject_history")
    lab.run("lab_a", f"UPDATE {ledger} SET `at` = `at` - INTERVAL 25 HOUR")
    # the manifest stays; the source calls its mice something else
    lab.run("lab_a", "UPDATE {lab}.subject SET species = 'Mouse, m.'")
    plan, report = lab.apply(doc)
    # what nothing refers to is bounded, and keeps what it refers to
    [block] = of(lab, plan, "Spikes").blocked
    assert "`max_deletions` exceeded: 2 in 24 hours, limit 1" in block.reason
    assert "if the manifest did not change, the source's rows did" in (block.hint or "")
    assert local(lab, "subject", "name") == {("ann",), ("bob",)}
    assert len(outbound(lab, "subject")) == 2
    _, report = lab.apply(doc, limit=Limit(100, percent=True))
    assert report.succeeded
