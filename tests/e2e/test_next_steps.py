"""The next steps that djlink prints are run as printed; a deletion is decided once for all that goes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

from djlink_manifest.model.next_steps import commands
from tests.support.command import called
from tests.support.pipelines.deletion import document, lab, local, request
from tests.support.rig import Rig

__all__ = ["lab"]  # a fixture

ASKS = {"apply", "adopt"}  # commands that a person confirms
MANIFEST = "my atlas.yaml"


def djlink(rig: Rig, *arguments: str) -> subprocess.CompletedProcess[str]:
    return called(*arguments, environ=rig.environ, folder=rig.folder)


def write(rig: Rig, made: dict[str, object]) -> None:
    """A manifest that no command reads unless it is named."""
    rig.write(made)
    shutil.move(rig.folder / "djlink.yaml", rig.folder / MANIFEST)


def run_steps(rig: Rig, printed: subprocess.CompletedProcess[str], *, code: int = 0) -> list[list[str]]:
    """Run each command that was printed, once, and confirm those that ask; their arguments."""
    found = list[list[str]]()
    for words in commands(printed.stdout + printed.stderr):
        if words in found or "ADDRESS" in words:
            continue
        found.append(words)
        confirmed = ["--auto-approve"] if words[0] in ASKS and "--auto-approve" not in words else []
        ended = djlink(rig, *words, *confirmed)
        assert ended.returncode == code, f"{words}\n{ended.stdout}{ended.stderr}"
    return found


def test_the_next_steps_of_a_deletion_lead_to_its_end(lab: Rig) -> None:
    write(lab, document(lab))
    request(lab, "session", "name = 'ann'")
    session, given = lab.address("lab_a", "lab", "Session"), ("-f", MANIFEST, "--target", "lab_a.*")
    unasked = djlink(lab, "apply", *given)
    assert (unasked.returncode, unasked.stdout) == (1, "")
    assert run_steps(lab, unasked) == [["plan", *given], ["apply", *given, "--auto-approve"]]
    planned = djlink(lab, "plan", *given)
    assert len(local(lab, "session")) == 4
    approve = ["approve", "-f", MANIFEST, session]
    assert run_steps(lab, planned) == [["requests", "-f", MANIFEST, session, "--keys"], approve]
    (lab.folder / "approvals.yaml").unlink()  # where that approval stands
    written = djlink(lab, *approve, "--into", "it's decided.yaml")
    apply = run_steps(lab, written)[-1]
    assert apply == ["apply", "-f", MANIFEST, "-f", "it's decided.yaml"]
    assert len(local(lab, "session")) == 2
    spent = djlink(lab, "plan", *apply[1:])
    assert ["fmt", *apply[1:], "--prune"] in run_steps(lab, spent)
    assert "is spent" not in djlink(lab, "plan", *apply[1:]).stdout


def test_the_next_steps_after_a_new_name_adopt_and_apply(lab: Rig) -> None:
    write(lab, {**document(lab), "name": "renamed"})
    refused = djlink(lab, "plan", "-f", MANIFEST)
    assert refused.returncode == 1
    steps = run_steps(lab, refused)
    assert {words[0] for words in steps} == {"adopt"}
    assert all(words[1:3] == ["-f", MANIFEST] for words in steps)
    adopted = djlink(lab, "adopt", "lab_a.*", "-f", MANIFEST, "--auto-approve")
    assert adopted.returncode == 0
    assert djlink(lab, "plan", "-f", MANIFEST, "--detailed-exitcode").returncode == 0


def test_the_next_steps_of_mistakes_can_be_typed(lab: Rig) -> None:
    write(lab, document(lab))
    for wrong in (
        ("plan", "-f", MANIFEST, "--target", "lab_a.nowhere.Nothing"),
        ("approve", "-f", MANIFEST, lab.address("lab_a", "lab", "Spikes")),
        ("explain", "-f", MANIFEST, "lab_a.nowhere.Nothing", "a=1"),
    ):
        ended = djlink(lab, *wrong)
        assert ended.returncode == 1
        [step] = run_steps(lab, ended)
        assert step[1:3] == ["-f", MANIFEST]


def test_a_request_and_all_that_goes_along_with_it_are_one_decision(lab: Rig) -> None:
    lab.write(document(lab))
    for table, key in (("subject", "name = 'ann'"), ("session", "name = 'ann'"), ("spikes", "id = 1")):
        request(lab, table, key, "wrong animal")
    subject, session, spikes = (
        lab.address("lab_a", "lab", name) for name in ("Subject", "Session", "Spikes")
    )
    planned = djlink(lab, "plan").stdout
    assert "1 deletion set awaits approval (1 row)" in planned
    assert f"their deletion is requested too: 2 of {session}, 1 of {spikes}" in planned
    assert planned.count("approves them") == planned.count("wrong animal") == 1
    assert djlink(lab, "requests").stdout.count("approves them") == 1
    alone = djlink(lab, "requests", spikes).stdout
    assert f"they go along with the rows requested of {subject}" in alone
    told = json.loads(djlink(lab, "plan", "--json").stdout)
    roots = {each["address"]: [b["root"] for b in each["blocked"]] for each in told["links"]}
    assert roots == {subject: [None], session: [subject], spikes: [subject]}
    assert told["summary"]["awaiting"] == 1

    assert djlink(lab, "approve", subject).returncode == 0
    approved = djlink(lab, "plan").stdout
    assert "await" not in approved
    [due] = re.findall(r"1 row to delete locally \((\d+) rows in total\)", approved)
    done = djlink(lab, "apply", "--auto-approve").stdout
    assert f"1 deleted locally ({due} rows in total)" in done
    assert "await" not in done
    assert (local(lab, "spikes", "id"), len(local(lab, "session"))) == ({(2,), (3,)}, 2)
    after = djlink(lab, "plan").stdout
    assert "await" not in after
    assert "No changes." in after or "spent" in after


def test_requests_of_other_rows_below_are_decided_by_themselves(lab: Rig) -> None:
    lab.write(document(lab))
    request(lab, "subject", "name = 'ann'")
    request(lab, "session", "name IN ('ann', 'bob')")
    assert "2 deletion sets await approval (4 rows)" in djlink(lab, "plan").stdout
