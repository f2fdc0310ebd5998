"""What docs/deletion.md tells the owner of a source to type does what it says, on both vendors."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from pathlib import Path

import pymysql
import pytest

from djlink_manifest.sandbox.servers.accounts import grant_pattern
from tests.support.pipelines.owners import Source, new_source, printed
from tests.support.rig import Rig
from tests.support.servers import ALIKE
from tests.support.sql import ask

DOC = (Path(__file__).parents[2] / "docs" / "deletion.md").read_text(encoding="utf-8")
OWNER = re.search(r"^## For the owner of a source\n(.*?)(?=^## |\Z)", DOC, re.MULTILINE | re.DOTALL)
NAMES = {
    "ephys": "ephys",
    "ourlab_outbound": "atlas_outbound",
    "ourlab_link": "atlas_link",
    "princeton_lab": "owner",
}
TABLES = (
    "CREATE DATABASE {ephys}",
    "CREATE TABLE {ephys}.recording (subject varchar(9), session int, PRIMARY KEY (subject, session))",
    "CREATE TABLE {ephys}.recording__channel (subject varchar(9), session int, channel int,"
    " PRIMARY KEY (subject, session, channel), FOREIGN KEY (subject, session)"
    " REFERENCES {ephys}.recording (subject, session))",
    "INSERT INTO {ephys}.recording VALUES ('A001',1),('A001',2),('A002',1),('A002',2),('A003',1),('A004',1),"
    " ('A005',1),('A006',1)",
    "INSERT INTO {ephys}.recording__channel SELECT subject, session, 1 FROM {ephys}.recording",
)


def blocks(rig: Rig) -> dict[str, list[tuple[str, list[str]]]]:
    """The `sh` and `sql` blocks of the section by heading, each cut into commands, in this test's names."""
    assert OWNER is not None
    heading, found = "", defaultdict[str, list[tuple[str, list[str]]]](list)
    for match in re.finditer(r"^### ([^\n]*)$|^```(sh|sql)\n(.*?)^```$", OWNER[1], re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[1]
            continue
        text = match[3]
        for word, local in NAMES.items():
            if "_" in word:  # as a GRANT names it
                text = text.replace(word.replace("_", r"\_"), grant_pattern(rig.names(local)).strip("`"))
            text = text.replace(word, rig.names(local))
        parts = text.splitlines() if match[2] == "sh" else text.split(";")
        found[heading].append((match[2], [part.strip() for part in parts if part.strip()]))
    return found


@pytest.fixture
def source(rig: Rig, capsys: pytest.CaptureFixture[str]) -> Source:
    found = new_source(rig, capsys)
    for statement in TABLES:
        rig.run("lab_a", statement)
    own = grant_pattern(rig.names("ephys"))
    ask(rig.server("lab_a"), f"GRANT ALL ON {own}.* TO '{rig.names('owner')}'@'%'")
    return found


@pytest.mark.parametrize("servers", ALIKE, indirect=True, ids=str)
def test_what_an_owner_is_told_to_type_does_what_is_said(source: Source) -> None:
    told = blocks(source.rig)
    source.link("atlas", {"ephys": {"tables": {"Recording": {"where": "subject <> 'A006'"}}}}, applied=False)
    path = source.rig.folder / "atlas.yaml"
    [(_, rights)] = told.pop("The rights")
    given = printed(source.capsys, "-f", str(path), "--owner", source.rig.names("owner"), "--server", "lab_a")
    assert [f"{statement};" for statement in rights if f"{statement};" not in given] == []
    source.apply("atlas")

    def type_(heading: str) -> list[str]:
        """Type all blocks of a section; what the commands printed."""
        out = []
        for kind, commands in told.pop(heading):
            for command in commands:
                if kind == "sh":
                    djlink, group, *words = shlex.split(command)
                    assert (djlink, group) == ("djlink", "source")
                    code, stdout, err = source.says(*words, *(["--yes"] if words[0] == "delete" else []))
                    assert code == 0, (command, err)
                    out.append(stdout)
                else:
                    with source.owner() as cursor:
                        assert cursor.execute(command) > 0, command
        return out

    def existing(kind: str) -> list[tuple[str, int]]:
        with source.owner() as cursor:
            cursor.execute(
                f"SELECT subject, session FROM {source.view('atlas', 'ephys_recording', kind)} ORDER BY 1, 2"
            )
            return list(cursor.fetchall())

    whole, asked_about = type_("See who holds a row")
    assert "7 rows held since" in whole
    assert "1 row held since" in asked_about
    type_("Ask")
    assert existing("requests") == [("A001", 1), ("A001", 2), ("A002", 1), ("A002", 2)]
    type_("Withdraw")
    assert existing("requests") == [("A002", 1), ("A002", 2)]
    for subject in ("A003", "A004", "A005"):
        words = ("request", f"{source.rig.names('ephys')}.Recording", f"subject={subject}", "--reason", "x")
        assert source.says(*words, "--yes")[0] == 0
    with source.owner() as cursor, pytest.raises(pymysql.MySQLError):
        cursor.execute(f"DELETE FROM {source.rig.names('ephys')}.recording WHERE subject = 'A002'")
    source.approve("atlas", "ephys_recording", "subject, session")
    type_("Let it be pulled again")
    assert existing("approved") == [("A002", 1), ("A002", 2), ("A005", 1)]
    # what is typed in SQL first: the command takes all that is approved
    told["Delete"].reverse()
    [deleted] = type_("Delete")
    assert "1 row deleted" in deleted
    assert existing("approved") == []
    assert existing("held") == [("A001", 1), ("A001", 2)]
    with source.owner() as cursor:
        cursor.execute(f"SELECT subject FROM {source.rig.names('ephys')}.recording ORDER BY 1")
        left = [subject for (subject,) in cursor.fetchall()]
    assert left == ["A001", "A001", "A003", "A004", "A006"]
    type_("Look back")
    assert ("A001", 2) in existing("history")
    assert told == {}, "every block is typed"
