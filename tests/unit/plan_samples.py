"""Plans and reports made by hand, and strategies for any other ones, for the tests of what is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import strategies as st

from djlink_manifest.errors import Diagnostic, Location
from djlink_manifest.model.links.graph import Edge, LinkGraph
from djlink_manifest.model.server.epochs import LocalServer
from djlink_manifest.model.stores.external import ObjectCounts
from djlink_manifest.reconcile.plan.actions import (
    ADDED,
    Action,
    AddForeignKey,
    AlterLocal,
    Approve,
    Blocked,
    ChangeLocal,
    Claim,
    CopyLineage,
    CreateLocal,
    CreateOutbound,
    Delete,
    Drift,
    GiveUp,
    Mend,
    Move,
    NoteDefinition,
    NoteFilled,
    NoteRequests,
    NoteServer,
    Pull,
    PullAgain,
    Refill,
    Register,
    Release,
)
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.runtime.events import (
    Advanced,
    Counts,
    LinkOutcome,
    LinkStarted,
    Message,
    Report,
)
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    LabRows,
    LinkDeletions,
    RequestGroup,
    RequestSet,
)
from djlink_manifest.reconcile.state.snapshot import Forgotten, Refusal, ServerFacts

LOCAL = ServerFacts("local", "db.lab.org", "mysql", "9.7.4", 16, 0.3)
LAB_A = ServerFacts("lab_a", "db.lab-a.org", "mysql", "8.4.2", 14, 0.8)
LAB_B = ServerFacts("lab_b", "db.lab-b.org", "mariadb", "10.11.19", 3, 12.34)
LAB_C = ServerFacts(
    "lab_c",
    "db.lab-c.org",
    links=0,
    problem="no session: connection refused",
    hint="check host and port, and that the VPN is up",
)
DIGEST = "4f1c2e9" + "0" * 57
GONE = "deletion requested, most recently on 2026-11-20, not yet approved"
STAY = "they stay until a deletion is approved"


def at(line: int) -> Location:
    """A line of the manifest that the plans are made from."""
    return Location("atlas.yaml", line, 9)


def needs(child: str, *parents: str) -> tuple[Edge, ...]:
    """The foreign keys of a link to others."""
    return tuple(Edge(child, parent, "foreign key") for parent in parents)


SUBJECT = LinkPlan(
    "lab_a.lab.Subject",
    1,
    at(10),
    actions=(
        Release("lab_a", 3, "missing locally and not pullable"),
        Register("lab_a", 4, "unprotected local rows that equal their source rows"),
        PullAgain(2, "in outbound but missing locally; pull again"),
    ),
    source_rows=1200,
    outbound_rows=1198,
    local_rows=1196,
)
SESSION = LinkPlan(
    "lab_a.ephys.Session",
    2,
    at(12),
    needs=needs("lab_a.ephys.Session", "lab_a.lab.Subject", "lab_a.lab.Project"),
    actions=(
        CreateOutbound("lab_a", ("ourlab_outbound.ephys_session",), "new link"),
        CreateLocal(("lab_a_ephys.session", "lab_a_ephys.session__probe"), "new link"),
        Pull(
            1240,
            (("Probe", 2480), ("Note", 1), ("Trial", 120_000)),
            18_400_000,
            "new link",
            objects=ObjectCounts(2_481, 7_200_000_000, 1),
        ),
    ),
    warnings=("its parent lab.rig is not linked: the foreign key becomes plain columns",),
    new=True,
    left_out=(("their Subject is not pulled", 60),),
    source_rows=1300,
)
SCAN = LinkPlan(
    "lab_a.ephys.Scan",
    3,
    at(13),
    needs=(
        Edge("lab_a.ephys.Scan", "lab_a.ephys.Session", "depends_on"),
        *needs("lab_a.ephys.Scan", "lab_a.ephys.Session"),
    ),
    actions=(
        Pull(310, (), 0, "wanted, not yet pulled"),
        AddForeignKey("lab_a_ephys.scan", ("rig",), "lab_a_lab.rig", "its parent is now linked"),
    ),
    blocked=(
        Blocked("review", GONE, 4, STAY),
        Blocked("error", "unprotected local rows that differ from their source rows", 2, "compare them"),
    ),
    drift=(Drift("no source row (deleted at the source or inserted locally)", 17),),
    kept=9,
    source_rows=4102,
    outbound_rows=3792,
    local_rows=3792,
)
TRACE = LinkPlan(
    "lab_a.ephys.Trace",
    4,
    at(14),
    needs=needs("lab_a.ephys.Trace", "lab_a.ephys.Scan"),
    blocked=(Blocked("review", GONE, 17, STAY),),
    source_rows=50,
    outbound_rows=50,
    local_rows=50,
    requests=LinkDeletions(
        (
            RequestGroup("wrong electrode", "owner@db.lab-a.org", 16, datetime(2026, 11, 8, 9)),
            RequestGroup("", "root@localhost", 1, datetime(2026, 11, 20, 8)),
        ),
        requested=RequestSet(
            "sha256:ab",
            17,
            datetime(2026, 11, 20, 8),
            Closure(
                15,
                (("lab_a.ephys.Spikes", 3400),),
                (("lab_a_ephys.trace", 15), ("lab_a_ephys.spikes", 3400)),
                2,
                (LabRows("analysis.fit", 3, "(dj.FreeTable(…) & …).delete()"),),
                whole=(("lab_a.ephys.Spikes", 3400),),
            ),
        ),
        now=datetime(2026, 11, 20, 9),
    ),
)
SOUND = LinkPlan(
    "lab_b.stim.Noise",
    2,
    at(25),
    actions=(
        NoteRequests(4, 1, "the source's requests have changed"),
        Mend("lab_b", 1, "deletion approved, but still in outbound"),
        Approve("lab_b", 2, "deletion requested, local rows already deleted"),
        Delete(
            4,
            (("lab_b.stim.Click", 8),),
            (("lab_b_stim.noise", 4), ("lab_b_stim.click", 8)),
            "approved",
            "deletion requested, approved by a.lee on 2026-11-20",
        ),
        Delete(3, (), (("lab_b_stim.noise", 3),), "unwanted", "no longer wanted (`unwanted: release`)"),
    ),
    source_rows=90,
    outbound_rows=90,
    local_rows=88,
)
STIMULUS = LinkPlan(
    "lab_b.stim.Stimulus",
    2,
    at(20),
    blocked=(Blocked("error", "the source added `contrast float`", hint="link the table anew", whole=True),),
    observed=False,
)
TRIAL = LinkPlan(
    "lab_b.stim.Trial",
    3,
    at(21),
    needs=needs("lab_b.stim.Trial", "lab_b.stim.Stimulus"),
    blocked=(Blocked("upstream", "not attempted: lab_b.stim.Stimulus is blocked", whole=True),),
    observed=False,
)
LICK = LinkPlan(
    "lab_b.stim.Lick",
    4,
    at(22),
    needs=needs("lab_b.stim.Lick", "lab_b.stim.Trial"),
    blocked=(Blocked("upstream", "not attempted: lab_b.stim.Trial is blocked", whole=True),),
    observed=False,
)
PARTLY = LinkPlan(
    "lab_b.stim.Screen",
    1,
    at(23),
    actions=(CreateLocal(("lab_b_stim.screen__pixel",), "its tables are incomplete"),),
    source_rows=1,
    outbound_rows=1,
    local_rows=1,
)
UNMARKED = LinkPlan(
    "lab_b.stim.Sound",
    1,
    at(24),
    actions=(CreateOutbound("lab_b", (), "its tables are incomplete"),),
)
MOVED = LinkPlan(
    "lab_b.stim.Movie",
    1,
    at(26),
    actions=(
        Move(
            ("lab_b.stim.Film", "the local table lab_b_stim.film"),
            (("lab_b_stim.film__frame", "lab_b_stim.movie__frame"), ("lab_b_stim.film", "lab_b_stim.movie")),
            "`moved`",
            "lab_b",
        ),
    ),
    warnings=("its rows are compared by the next plan, after the move",),
    observed=False,
)
WIDENED = LinkPlan(
    "lab_b.stim.Grating",
    1,
    at(25),
    actions=(
        CreateLocal(("lab_b_stim.grating__frame",), ADDED),
        AlterLocal(
            "lab_b_stim.grating",
            ("contrast float",),
            ("by_contrast",),
            "the source added `contrast float`, the index `by_contrast`",
        ),
        ChangeLocal(
            "lab_b_stim.grating",
            ("`angle` (int to bigint)",),
            "copy",
            40,
            16_384,
            "the source changed `angle` (int to bigint)",
        ),
        Refill(40, "definition", "for part grating__frame, which the source added after linking"),
        Refill(1, "rows", "they differ from their source rows"),
    ),
    source_rows=44,
    outbound_rows=40,
    local_rows=40,
)
QUIET = tuple(
    LinkPlan(f"lab_a.lab.{name}", 1, at(9), source_rows=5, outbound_rows=5, local_rows=5)
    for name in ("Project", "Rig", "User")
)
REFUSAL = Refusal("lab_b.imaging", "no such schema", "did you mean `imagin`?", at(30))
FORGOTTEN = Forgotten("lab_a", "lab.old_table", "ourlab_outbound.lab_old_table", "lab_a_lab.old_table")


def rich_plan() -> Plan:
    """A plan with each kind of thing that a plan can hold."""
    links = (
        SUBJECT,
        SESSION,
        SCAN,
        TRACE,
        STIMULUS,
        TRIAL,
        LICK,
        SOUND,
        PARTLY,
        UNMARKED,
        WIDENED,
        MOVED,
        *QUIET,
    )
    return Plan(
        "atlas",
        DIGEST,
        ("atlas.yaml", "here.yaml"),
        LOCAL,
        (LAB_A, LAB_B, LAB_C),
        tuple(sorted(links, key=lambda link: (link.wave, link.address))),
        refusals=(REFUSAL,),
        forgotten=(FORGOTTEN,),
        warnings=("lab_b and local keep different time zones",),
    )


def quiet_plan() -> Plan:
    """A plan with nothing to do."""
    return Plan("atlas", DIGEST, ("atlas.yaml",), LOCAL, (LAB_A,), QUIET)


def wide_plan(count: int = 217) -> Plan:
    """A plan of many new links in eleven schemas and nine waves, some with warnings."""
    links = [
        replace(
            SESSION,
            address=f"lab_a.schema_{number % 11:02}.Table{number}",
            wave=1 + number % 9,
            needs=(),
            warnings=SESSION.warnings if number % 5 == 0 else (),
        )
        for number in range(count)
    ]
    return replace(quiet_plan(), links=tuple(sorted(links, key=lambda each: (each.wave, each.address))))


def report() -> Report:
    """The end of an apply with each kind of outcome."""
    return Report(
        (
            LinkOutcome(
                "lab_a.lab.Subject",
                "done",
                Counts(pulled=2, rows=2, bytes=90, registered=4, released=3),
                seconds=0.4,
            ),
            LinkOutcome(
                "lab_a.ephys.Session",
                "done",
                Counts(
                    created=True,
                    pulled=1240,
                    rows=123_721,
                    bytes=18_400_000,
                    objects=2_481,
                    object_bytes=7_300_000_000,
                ),
                seconds=95.2,
            ),
            LinkOutcome(
                "lab_a.ephys.Scan",
                "failed",
                Counts(pulled=200, rows=200, bytes=512, refused=1),
                problem="the local server refused 1 entity: Duplicate entry '7' for key 'name'",
                hint="look for local rows with the same unique value",
                seconds=3.0,
            ),
            LinkOutcome("lab_b.stim.Grating", "done", Counts(refilled=39, altered=True), seconds=0.2),
            LinkOutcome("lab_b.stim.Screen", "failed", problem="table in use", seconds=9.0),
            LinkOutcome("lab_a.ephys.Trace", "skipped", problem="lab_a.ephys.Scan failed"),
        ),
        seconds=104.7,
        warnings=("lab_a.ephys.Session: the collation of `note` was mapped",),
    )


def graph() -> LinkGraph:
    """The graph of the rich plan."""
    links = rich_plan().links
    return LinkGraph.build((link.address for link in links), (edge for link in links for edge in link.needs))


DIAGNOSTICS = (
    Diagnostic(
        "error",
        "unknown field `shcema`, did you mean `schema`?",
        Location("atlas.yaml", 7, 7),
        "sources.lab_a",
        None,
        "      shcema: v1",
        6,
    ),
    Diagnostic(
        "warning",
        "nothing is wanted of `lab`",
        Location("atlas.yaml", 107, 1),
        "",
        "add a table,\nor take the schema out",
        "lab: {}",
        3,
    ),
    Diagnostic("error", "the file is empty", Location("other.yaml", 1, 1)),
)

# What manifests, servers and file names may hold: terminal sequences, markup, marks of direction, halves of
# characters, and plain words.
NASTY = st.one_of(
    st.sampled_from(
        [
            "",
            "\x1b[31mred\x1b[0m",
            "[bold red]x[/]",
            "[/]",
            "a\r\nb\tc",
            "\u202eevil\u2066",
            "\x9b2J",
            "\udcff",
            ":smile:",
            "日本語",
            "x" * 200,
            "lab.Subject",
            '"]; drop',
        ]
    ),
    st.text(st.characters(), max_size=12),
)
COUNT = st.integers(0, 10**7)
_TEXTS = st.lists(NASTY, max_size=2).map(tuple)
_PAIRS = st.lists(st.tuples(NASTY, COUNT), max_size=2).map(tuple)
_HINT = st.none() | NASTY
_ADDRESS = st.sampled_from(["a.b.C", "a.b.D", "e.f.G", "\x1b[2J.x.[y]"]) | NASTY
LOCATIONS = st.none() | st.builds(Location, NASTY, st.integers(1, 9999), st.integers(1, 200))
_SERVERS = st.builds(ServerFacts, NASTY, NASTY, NASTY, NASTY, COUNT, st.floats(0, 1e6), _HINT, _HINT)
_EDGES = st.builds(Edge, _ADDRESS, _ADDRESS, st.sampled_from(["foreign key", "depends_on"]))
_BLOCKED = st.builds(
    Blocked, st.sampled_from(["review", "error", "upstream"]), NASTY, COUNT, _HINT, st.booleans()
)
_DRIFT = st.builds(Drift, NASTY, COUNT, _HINT)
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(Move, _TEXTS, st.lists(st.tuples(NASTY, NASTY), max_size=2).map(tuple), NASTY, NASTY),
    st.builds(CreateOutbound, NASTY, _TEXTS, NASTY),
    st.builds(CreateLocal, _TEXTS, NASTY),
    st.builds(AlterLocal, NASTY, _TEXTS, _TEXTS, NASTY),
    st.builds(
        ChangeLocal, NASTY, _TEXTS, st.sampled_from(["instant", "in place", "copy"]), COUNT, COUNT, NASTY
    ),
    st.builds(CopyLineage, _TEXTS, NASTY),
    st.builds(NoteDefinition, NASTY, NASTY, NASTY, after_rows=st.booleans()),
    st.builds(NoteFilled, NASTY, NASTY),
    st.builds(NoteServer, NASTY, NASTY, st.none() | st.builds(LocalServer, NASTY, st.tuples(NASTY), _HINT)),
    st.builds(GiveUp, NASTY, COUNT, NASTY),
    st.builds(Claim, NASTY, COUNT, NASTY, NASTY, NASTY, NASTY),
    st.builds(AddForeignKey, NASTY, _TEXTS, NASTY, NASTY),
    st.builds(
        Pull,
        COUNT,
        _PAIRS,
        st.integers(0, 10**16),
        NASTY,
        objects=st.builds(ObjectCounts, COUNT, st.integers(0, 10**16), COUNT),
    ),
    st.builds(PullAgain, COUNT, NASTY),
    st.builds(Refill, COUNT, st.sampled_from(["definition", "rows"]), NASTY),
    st.builds(Register, NASTY, COUNT, NASTY),
    st.builds(Release, NASTY, COUNT, NASTY),
    st.builds(
        Delete,
        COUNT,
        _PAIRS,
        _PAIRS,
        st.sampled_from(["granted", "approved", "auto", "unwanted", "orphans"]),
        NASTY,
    ),
    st.builds(Approve, NASTY, COUNT, NASTY),
    st.builds(Mend, NASTY, COUNT, NASTY),
    st.builds(NoteRequests, COUNT, COUNT, NASTY),
)
_CLOSURES = st.builds(
    Closure,
    COUNT,
    _PAIRS,
    _PAIRS,
    COUNT,
    st.lists(st.builds(LabRows, NASTY, COUNT, _HINT), max_size=1).map(tuple),
)
_MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1))
_REQUESTS = st.builds(
    LinkDeletions,
    st.lists(st.builds(RequestGroup, NASTY, NASTY, COUNT, _MOMENTS), max_size=5).map(tuple),
    _CLOSURES,
    st.none() | st.builds(RequestSet, NASTY, COUNT, st.none() | _MOMENTS, _CLOSURES),
    now=st.none() | _MOMENTS,
)
_LINKS = st.builds(
    LinkPlan,
    _ADDRESS,
    st.integers(1, 4),
    LOCATIONS,
    st.lists(_EDGES, max_size=3).map(tuple),
    st.lists(ACTIONS, max_size=3).map(tuple),
    st.lists(_BLOCKED, max_size=2).map(tuple),
    st.lists(_DRIFT, max_size=2).map(tuple),
    _TEXTS,
    st.booleans(),
    COUNT,
    _PAIRS,
    COUNT,
    COUNT,
    COUNT,
    st.none() | _REQUESTS,
)
REFUSALS = st.builds(Refusal, _ADDRESS, NASTY, _HINT, LOCATIONS)
PLANS = st.builds(
    Plan,
    NASTY,
    NASTY,
    _TEXTS,
    _SERVERS,
    st.lists(_SERVERS, max_size=2).map(tuple),
    st.lists(_LINKS, max_size=5).map(lambda links: tuple(sorted(links, key=lambda e: (e.wave, e.address)))),
    st.lists(REFUSALS, max_size=2).map(tuple),
    st.lists(st.builds(Forgotten, NASTY, NASTY, NASTY, NASTY), max_size=2).map(tuple),
    _TEXTS,
)
OUTCOMES = st.builds(
    LinkOutcome,
    _ADDRESS,
    st.sampled_from(["done", "failed", "skipped"]),
    st.builds(Counts, st.booleans(), st.booleans(), *(16 * [COUNT])),
    _HINT,
    _HINT,
    st.floats(0, 1e6),
)
EVENTS = st.one_of(
    st.builds(LinkStarted, _ADDRESS, COUNT),
    st.builds(Advanced, _ADDRESS, COUNT, COUNT, COUNT),
    st.builds(Message, _ADDRESS, NASTY),
    OUTCOMES,
)
REPORTS = st.builds(
    Report, st.lists(OUTCOMES, max_size=4).map(tuple), st.booleans(), st.floats(0, 1e6), _TEXTS
)
DIAGNOSTICS_OF_ANY_KIND = st.builds(
    Diagnostic,
    st.sampled_from(["error", "warning"]),
    NASTY,
    st.builds(Location, NASTY, st.integers(1, 9999), st.integers(1, 300)),
    NASTY,
    _HINT,
    _HINT,
    st.integers(1, 300),
)
