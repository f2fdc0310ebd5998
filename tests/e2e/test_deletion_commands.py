"""`requests`, `approve`, `apply` and `fmt --prune` at the command line, over one deletion after another."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import subprocess
import sys

from tests.support.command import called
from tests.support.pipelines.deletion import document, lab, local, request
from tests.support.rig import Rig

__all__ = ["lab"]  # a fixture

COMMAND = [sys.executable, "-m", "djlink_manifest"]


def djlink(rig: Rig, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    ended = called(*arguments, environ=rig.environ, folder=rig.folder)
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


def at_a_terminal(rig: Rig, typed: str, *arguments: str) -> tuple[int, str]:
    """Run a command whose input and messages are a terminal's; its exit code and its result."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=rig.folder,
        env={**os.environ, **rig.environ, "TERM": "dumb"},
        stdin=slave,
        stderr=slave,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        os.close(slave)
        os.write(master, typed.encode())
        assert running.stdout is not None
        out = running.stdout.read()
        code = running.wait(60)
    os.close(master)
    return code, out


def test_a_deletion_is_seen_approved_done_and_its_approval_taken_out(lab: Rig) -> None:
    lab.write(document(lab))
    session = lab.address("lab_a", "lab", "Session")
    assert "No deletion is requested" in djlink(lab, "requests").stdout
    for orphans in ((), ("--orphans",)):
        refused = djlink(lab, "approve", session, *orphans, code=1).stderr
        assert refused.startswith(f"Error: no deletion of {session} awaits approval\n")
    request(lab, "session", "name = 'ann'", "wrong animal")

    shown = djlink(lab, "requests", session, "--keys").stdout
    assert re.search(r"2 rows: deletion requested on \d{4}-\d\d-\d\d, not yet approved", shown)
    assert "wrong animal" in shown
    assert "name=ann, n=2" in shown
    assert "did you mean" in djlink(lab, "requests", session + "s", code=1).stderr
    [told] = json.loads(djlink(lab, "requests", "--json").stdout)["links"]
    assert (told["address"], told["waiting"]["count"], told["waiting"]["here"]) == (session, 2, 2)
    assert "awaiting approval" in djlink(lab, "status").stdout

    djlink(lab, "apply", "--auto-approve")
    assert len(local(lab, "session")) == 4
    written = djlink(lab, "approve", session, "--by", "a.lee").stderr
    assert "Wrote the approval of 2 deletions" in written
    assert written.endswith("to approvals.yaml. Next: `djlink apply`\n")
    approvals = lab.folder / "approvals.yaml"
    assert "approvals:\n  - {link: " in approvals.read_text()
    assert "approvals" not in (lab.folder / "djlink.yaml").read_text()
    djlink(lab, "validate")
    done = djlink(lab, "apply", "--auto-approve").stdout
    assert "approved by a.lee" in done
    assert len(local(lab, "session")) == 2

    assert "is spent" in djlink(lab, "plan").stdout
    assert "approvals.yaml" in djlink(lab, "fmt", "--prune").stdout
    assert "approvals: []" in approvals.read_text()
    assert "is spent" not in djlink(lab, "plan").stdout


def test_an_approval_may_go_into_a_file_of_any_name_and_the_next_step_names_it(lab: Rig) -> None:
    lab.write(document(lab))
    request(lab, "spikes", "id = 3")
    spikes = lab.address("lab_a", "lab", "Spikes")
    said = djlink(lab, "approve", spikes, "--into", "our decisions.yaml").stderr
    assert "approvals" not in (lab.folder / "djlink.yaml").read_text()
    next_step = shlex.split(said.strip().split("Next: ")[1].strip("`"))
    assert next_step == ["djlink", "apply", "-f", "djlink.yaml", "-f", "our decisions.yaml"]
    djlink(lab, *next_step[1:], "--auto-approve")
    assert local(lab, "spikes", "id") == {(1,), (2,)}
    djlink(lab, "fmt", "--prune", *next_step[2:])
    assert (lab.folder / "our decisions.yaml").read_text() == "approvals: []\n"


def test_an_approval_is_written_once_and_a_wider_one_replaces_what_is_void(lab: Rig) -> None:
    lab.write(document(lab))
    subject, schema = lab.address("lab_a", "lab", "Subject"), lab.local_schema("lab_a", "lab")
    lab.run("local", f"INSERT INTO `{schema}`.subject VALUES ('joe', 'mouse')")
    request(lab, "spikes", "id = 3", "wrong animal")
    approvals = lab.folder / "approvals.yaml"
    asked = [(subject, "--orphans"), (lab.address("lab_a", "lab", "Spikes"),)]
    for arguments in asked:
        assert "Wrote the approval" in djlink(lab, "approve", *arguments).stderr
    written = approvals.read_text().replace("approvals:\n", "approvals:\n  # seen by lee\n")
    approvals.write_text(written)
    for arguments in asked:
        again = djlink(lab, "approve", *arguments, "--by", "another").stderr
        assert "The approval of 1 deletion of" in again
        assert "is already in approvals.yaml:" in again
        assert "Wrote" not in again
        assert approvals.read_text() == written
    # more hangs on the same row now: the entry is void, and the new one takes its place
    lab.run("local", f"INSERT INTO `{schema}`.session VALUES ('joe', 9)")
    assert "is void" in djlink(lab, "plan").stdout
    assert "Wrote the approval" in djlink(lab, "approve", subject, "--orphans").stderr
    assert approvals.read_text().count("orphans: true") == 1
    assert "# seen by lee" in approvals.read_text()
    assert "approved twice" not in djlink(lab, "validate").stderr
    assert "is void" not in djlink(lab, "plan", "--fail-on", "drift").stdout
    done = djlink(lab, "apply", "--auto-approve").stdout
    assert "drift" not in done
    assert len(local(lab, "subject")) == 3


def test_approvals_of_another_manifest_in_the_folder_are_not_written_to(lab: Rig) -> None:
    lab.write(document(lab))
    theirs = lab.folder / "approvals.yaml"
    theirs.write_text("name: paper\napprovals: []\n")
    request(lab, "spikes", "id = 3")
    spikes = lab.address("lab_a", "lab", "Spikes")
    refused = djlink(lab, "approve", spikes, "--into", "approvals.yaml", code=1).stderr
    assert "approvals.yaml has the approvals of another manifest, `paper`" in refused
    said = djlink(lab, "approve", spikes).stderr
    assert said.endswith("to djlink.yaml. Next: `djlink apply`\n")
    assert theirs.read_text() == "name: paper\napprovals: []\n"
    djlink(lab, "apply", "--auto-approve")
    assert local(lab, "spikes", "id") == {(1,), (2,)}


def test_yes_at_the_terminal_approves_what_the_plan_lists(lab: Rig) -> None:
    lab.write(document(lab))
    request(lab, "spikes", "id = 3")
    code, out = at_a_terminal(lab, "no\n", "apply")
    assert code == 1
    assert len(local(lab, "spikes")) == 3
    code, out = at_a_terminal(lab, "yes\n", "apply")
    assert code == 0, out
    assert local(lab, "spikes", "id") == {(1,), (2,)}


def test_the_limit_of_a_day_can_be_raised_for_once(lab: Rig) -> None:
    lab.write(document(lab, defaults={"deletions": "auto", "max_deletions": 1}))
    request(lab, "spikes", "id IN (1, 2)")
    assert "`max_deletions` exceeded: 2 in 24 hours" in djlink(lab, "plan").stdout
    assert "Invalid value" in djlink(lab, "plan", "--max-deletions", "none", code=1).stderr
    djlink(lab, "apply", "--auto-approve", "--max-deletions", "100%")
    assert local(lab, "spikes", "id") == {(3,)}


def test_a_removed_link_is_shown_and_taken_out(lab: Rig) -> None:
    address = lab.address("lab_a", "lab", "Spikes")
    lab.write(document(lab, ["Subject", "Session"], removed={address: {"table": "drop"}}))
    assert "release 3 rows, drop" in djlink(lab, "plan").stdout
    assert "removed" in djlink(lab, "apply", "--auto-approve").stdout
    assert "is done; delete the entry" in djlink(lab, "plan").stdout
