"""Whatever a source says, at any moment: no traceback, no wait, no secret, and nothing on another server.

DJLINK_FUZZ=N tells N lies instead of the few of the suite, others with each run.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from djlink_manifest.servers.session import patience
from tests.support.faults.liar import Answer, Line, truth
from tests.support.faults.lies import LIES, Told, lies
from tests.support.faults.lying_lab import Ended, LyingLab, lying_lab
from tests.support.servers import Servers

MANY = int(os.environ.get("DJLINK_FUZZ", "0"))
LONGEST, MOST_MEMORY = 60.0, 500.0  # seconds of a command, MB of all
UNSHOWN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": ("plan",),
    "plan --json": ("plan", "--json"),
    "plan --verify": ("plan", "--verify"),
    "status": ("status",),
    "doctor": ("doctor",),
    "requests": ("requests",),
    "requests --keys": ("requests", "lab_a.{lab}.Scan", "--keys"),
    "explain": ("explain", "lab_a.{lab}.Scan", "s=c"),
    "init --from": ("init", "--from", "lab_a.{lab}", "-f", "part.yaml", "-"),
    "source held": ("source", "held", "--port", "{port}", "--no-tls"),
    "apply": ("apply", "--auto-approve"),
}


@pytest.fixture(scope="module")
def brief() -> Iterator[None]:
    """Nobody waits for long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "LOGIN_SILENCE", 2.0)
        patch.setattr(patience, "LOGIN_TIME", 4.0)
        patch.setattr(patience, "ASK_AFTER", 0.5)
        patch.setattr(patience, "LONGEST", 2.5)
        # a machine that is busy lets an honest server look as if an answer of its were lost
        patch.setattr(patience, "LOST_AFTER", 5)
        patch.setattr(patience, "MOST_BYTES", 8 << 20)
        patch.setattr(patience, "MOST_PACKETS", 100_000)
        patch.setattr(patience, "MOST_STREAMED", 16 << 20)
        patch.setattr(patience, "LARGEST_PACKET", 32 << 20)

        yield


@pytest.fixture(scope="module")
def lab(servers: Servers, tmp_path_factory: pytest.TempPathFactory, brief: None) -> Iterator[LyingLab]:
    with lying_lab(servers, tmp_path_factory.mktemp("lying")) as found:
        yield found


def command(lab: LyingLab, name: str) -> tuple[str, ...]:
    given = {"lab": lab.rig.names("lab"), "port": str(lab.liar.port)}
    return tuple(each.format(**given) for each in COMMANDS[name])


@pytest.fixture(scope="module")
def statements(lab: LyingLab) -> dict[str, int]:
    """How many statements each command sends to the first source, where all say the truth."""
    found = {}
    for name in COMMANDS:
        told = lab.says(*command(lab, name))
        assert told.code == 0, (name, told)
        if name != "apply":
            assert lab.written("local") == lab.written("lab_a") == lab.written("lab_b") == [], name
        found[name] = len(lab.liar.statements)
        assert found[name] > 10, name
    lab.more_rows()
    return found


def check(lab: LyingLab, name: str, ended: Ended, *, debug: bool) -> None:
    """What holds whatever the first source said."""
    text = ended.text
    assert ended.code in (0, 1), ended
    assert debug or "Traceback" not in text, text
    assert "unexpected error" not in text, text
    assert not UNSHOWN.search(text), UNSHOWN.findall(text)
    assert ended.seconds < LONGEST
    assert ended.megabytes < MOST_MEMORY
    assert lab.liar.files_sent == []
    if name == "apply":
        there, here = lab.scans()
        assert there == here, text
    else:
        assert lab.written("local") == lab.written("lab_b") == lab.written("lab_a") == []
    if name in ("plan", "status", "plan --verify"):
        assert re.search(r"lab_b\.\w+\.Scan .*pull", text), text


TOLD = Counter[str]()


@given(name=st.sampled_from(sorted(COMMANDS)), lie=lies(st.integers(0, 1000)), debug=st.booleans())
@settings(
    max_examples=MANY or 60,
    deadline=None,
    derandomize=not MANY,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(36_000 if MANY else 600)
def test_no_lie_does_harm(
    lab: LyingLab,
    statements: dict[str, int],
    request: pytest.FixtureRequest,
    name: str,
    lie: Told,
    debug: bool,
) -> None:
    lie.at %= statements[name]
    own = lab.own()
    try:
        ended = lab.says(*command(lab, name), *(["--debug"] if debug else []), lie=lie)
        check(lab, name, ended, debug=debug)
        assert lab.own() == own
    finally:
        if name == "apply":
            if lab.says("apply", "--auto-approve").code != 0:
                lab.build()
            lab.more_rows()
    TOLD.update([name, lie.kind] if lie.told else ["never told"])
    words = ", ".join(f"{what} {count}" for what, count in sorted(TOLD.items()))
    request.node.user_properties[:] = [("told", f"{sum(TOLD[n] for n in COMMANDS)} lies told: {words}")]


@pytest.mark.parametrize("kind", sorted(LIES))
def test_each_kind_of_lie_is_told_and_does_no_harm(
    lab: LyingLab, statements: dict[str, int], kind: str
) -> None:
    lie = Told(kind, at=20, value=b"7", number=1064)
    ended = lab.says("plan", lie=lie)
    check(lab, "plan", ended, debug=False)
    assert lie.told == 1


ROWS = re.compile(r"SELECT .*FROM .*`\w+_lab`\.`session(__trial)?` t", re.DOTALL)
ROW_LIES = {
    "a short row": Told("a short row", 0, goes_on=True),
    "a long row": Told("a long row", 0, goes_on=True, value=b"more"),
    "fewer columns": Told("fewer columns", 0, goes_on=True),
    "more columns": Told("more columns", 0, goes_on=True, value=b"more"),
    "NULL": Told("a cell", 0, goes_on=True),
    "a value that is too long": Told("a cell", 0, goes_on=True, value=b"x" * 100_000),
    "no text": Told("a cell", 0, goes_on=True, value=b"\xff\xfe"),
    "rows twice": Told("rows twice", 0, goes_on=True),
    "a row more": Told("a row more", 0, goes_on=True, value=b"7"),
    "no rows": Told("no rows", 0, goes_on=True),
}


@pytest.mark.parametrize("case", ROW_LIES)
def test_rows_that_cannot_be_are_not_written_and_the_other_source_is_done(
    lab: LyingLab, statements: dict[str, int], case: str
) -> None:
    lab.more_rows()
    lie, local, own = ROW_LIES[case], lab.rig.local_schema("lab_a", "lab"), lab.own()
    before = lab.rig.run("local", f"SELECT * FROM `{local}`.session")

    def about_rows(line: Line, number: int, statement: str, answer: Answer) -> None:
        (lie if ROWS.match(statement) else truth)(line, number, statement, answer)

    ended = lab.says("apply", "--auto-approve", lie=about_rows)
    check(lab, "apply", ended, debug=False)
    assert lie.told
    gone = case == "no rows"  # so it looks where the owner has deleted them meanwhile
    assert (ended.code, lab.own()) == (0 if gone else 1, own), ended.text
    assert lab.rig.run("local", f"SELECT * FROM `{local}`.session") == before
    assert lab.says("apply", "--auto-approve").code == 0
