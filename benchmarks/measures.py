"""The measures: each a subject (djlink) and its peers, run one after the other, several times over."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import deletion, link_package, peers, tables
from benchmarks.results import Measure
from benchmarks.runs import RESTRICTED, below, catalogues, changed_plan, counts, many, nothing, plan, pull
from benchmarks.sizes import Sizes


def measures(sizes: Sizes) -> Mapping[str, Measure]:
    """All measures of one pair of servers, by a short name; some stand on what those before them pulled."""
    narrow = f"{sizes.narrow:,}"
    return {
        "narrow": Measure(
            f"pull of {narrow} narrow rows",
            "dump pipe",
            1.0,
            lambda g: tables.narrow(g, sizes.narrow),
            pull("narrow", "narrow"),
            lambda g: peers.dump_pipe(g, "narrow"),
        ),
        # the pull that was measured last is still there
        "plan": Measure(
            f"empty plan, {narrow} rows",
            "COUNT(*) of the three",
            4.0,
            nothing,
            plan("narrow"),
            counts("narrow"),
        ),
        "changes": Measure(
            f"plan, 100 changes in {narrow}",
            "the empty plan",
            3.0,
            nothing,
            changed_plan("narrow"),
            plan("narrow"),
        ),
        "wanted": Measure(
            f"empty plan, {narrow} rows twice below a restricted parent",
            "COUNT(*) of all tables",
            None,
            lambda g: below(g, sizes.narrow),
            plan(RESTRICTED),
            counts("animal", "lesson", "trial", "remark"),
            scratch=("remark", "trial", "lesson", "animal"),
        ),
        "script": Measure(
            f"pull of {sizes.script:,} narrow rows",
            "DataJoint script",
            0.15,
            lambda g: tables.narrow(g, sizes.script, "script"),
            pull("script", "script"),
            lambda g: peers.datajoint_script(g, "script"),
            other_once=True,
            scratch=("script",),
        ),
        "package": Measure(
            f"pull of {sizes.package:,} rows in Python, from `pull()` to its end",
            "datajoint-link 0.11",
            200,
            lambda g: tables.narrow(g, sizes.package, "fetched"),
            lambda g: link_package.pull_by_djlink(g, "fetched"),
            lambda g: link_package.pull(g, "fetched"),
            rows=sizes.package,
            other_once=True,
            scratch=("fetched",),
        ),
    } | _others(sizes)


def growth(sizes: Sizes) -> Mapping[str, Measure]:
    """The pull and the empty plan of growing tables, beside the dump pipe and COUNT(*)."""
    found = dict[str, Measure]()
    for rows in sizes.growth:
        found[f"growth {rows:,}"] = _grown_pull(rows)
        found[f"growth plan {rows:,}"] = _grown_plan(rows)
    return found


def _others(sizes: Sizes) -> dict[str, Measure]:
    return {
        "blobs": Measure(
            f"pull of {sizes.blobs:,} blobs of 1 MB",
            "dump pipe, binary",
            0.5,
            lambda g: tables.wide(g, sizes.blobs),
            pull("wide", "wide"),
            lambda g: peers.dump_pipe(g, "wide", binary=True),
            scratch=("wide",),
        ),
        "parts": Measure(
            f"pull of {sizes.masters:,} masters, {10 * sizes.masters:,} part rows",
            "dump pipe",
            1.2,
            lambda g: tables.masters(g, sizes.masters),
            pull("scan", "scan", "scan__field"),
            lambda g: peers.dump_pipe(g, "scan", "scan__field"),
            scratch=("scan__field", "scan"),
        ),
        "key": Measure(
            f"pull of {sizes.wide_key:,} rows with a key of 16 columns",
            "dump pipe",
            None,
            lambda g: tables.wide_key(g, sizes.wide_key),
            pull("keyed", "keyed"),
            lambda g: peers.dump_pipe(g, "keyed"),
        ),
        "key-plan": Measure(
            f"empty plan, {sizes.wide_key:,} rows with a key of 16 columns",
            "COUNT(*) of the three",
            None,
            nothing,
            plan("keyed"),
            counts("keyed"),
            scratch=("keyed",),
        ),
        "links": Measure(
            f"empty plan, {sizes.links:,} links",
            "a catalogue query per server",
            None,
            lambda g: many(g, sizes.links),
            plan('"many_*"'),
            catalogues,
        ),
        "deletion": Measure(
            f"deletion of {sizes.deleted:,} approved entities, {2 * sizes.deleted:,} part rows",
            "plain DELETE",
            3.0,
            lambda g: deletion.prepared(g, sizes.deleted),
            lambda g: deletion.approved(g, sizes.deleted),
            lambda g: deletion.plain(g, sizes.deleted),
            scratch=("visit__sample", "visit"),
        ),
    }


def _grown_pull(rows: int) -> Measure:
    name = f"grown_{rows}"
    return Measure(
        f"pull of {rows:,} narrow rows, grown",
        "dump pipe",
        None,
        lambda g: tables.narrow(g, rows, name),
        pull(name, name),
        lambda g: peers.dump_pipe(g, name),
    )


def _grown_plan(rows: int) -> Measure:
    name = f"grown_{rows}"
    return Measure(
        f"empty plan, {rows:,} rows, grown",
        "COUNT(*) of the three",
        None,
        nothing,
        plan(name),
        counts(name),
        scratch=(name,),
    )
