"""From files to values: options that fall, overlays, folders, digests, whatever the order of keys."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from djlink_manifest.errors import Diagnostic, Location, ManifestError
from djlink_manifest.manifest.load import load, read
from djlink_manifest.manifest.models.options import Options
from djlink_manifest.manifest.models.servers import TlsSpec
from djlink_manifest.manifest.text.nodes import Fields, plain
from djlink_manifest.manifest.text.overlay import overlaid
from djlink_manifest.manifest.text.problems import Problems
from djlink_manifest.manifest.text.tree import parse
from djlink_manifest.model.links.link import Limit
from djlink_manifest.model.links.selection import Equals, SqlCondition
from tests.unit.manifest_cases import (
    HEAD,
    SOURCE,
    loaded,
    marked,
    one,
    places,
    rule,
    rules,
    tables,
    told,
    without_places,
    written,
)

ATLAS = """\
manifest: 1
name: hippocampus-atlas
contact: data@ourlab.example
x-animals: &animals [A001, A002]

local:
  host: db.ourlab.example
  user: ${env:DJ_USER}
  password: ${env:DJ_PASS}
  tls: {ca: certs/ourlab.pem}

defaults:
  schema_name: "ours_{source}_{schema}"
  deletions: review
  unwanted: keep
  max_deletions: 5%

sources:
  princeton:
    host: db.princeton.example
    port: 3307
    user: ${env:LINK_USER}
    password: ${env:PRINCETON_PASS}
    outbound: ourlab_outbound
    schemas:
      lab:
        tables:
          "*": {pull: needed}
          Subject: {where: {subject: *animals}}
        exclude: [OldTable]
      session:
        tables: [Session, SessionNote]
      ephys:
        schema_name: ours_ephys
        stores: {raw: ourlab_raw}
        tables: "*"
        exclude: ["*Debug*"]
  janelia:
    host: db.janelia.example
    schemas:
      imaging: {tables: [Scan, Field]}

removed:
  princeton.lab.OldTable: {table: keep}

approvals:
  - {link: princeton.ephys.Recording, keys: "sha256:ab12ab12ab12ab12", count: 17, until: 2026-11-20T09:00:00Z,
     with: {princeton.ephys.Spikes: 3400}, by: a.lee, date: 2026-11-20}
"""


def test_a_whole_manifest_becomes_values(tmp_path: Path) -> None:
    path = written(tmp_path, ATLAS, "atlas.yaml")
    manifest, found = read([path])
    assert found == ()
    assert manifest is not None
    assert (manifest.name, manifest.contact) == ("hippocampus-atlas", "data@ourlab.example")
    assert manifest.files == (str(path),)
    assert [s.name for s in manifest.sources] == ["janelia", "princeton"]
    assert manifest.local.tls == TlsSpec(ca="certs/ourlab.pem")
    assert manifest.local.place_of("password") == Location(str(path), 9, 3)
    assert manifest.local.place_of("port") == manifest.local.location == Location(str(path), 6, 1)
    janelia, princeton = manifest.sources
    assert (princeton.port, princeton.outbound) == ("3307", "ourlab_outbound")
    assert (janelia.port, janelia.outbound) == ("3306", "${env:LINK_OUTBOUND}")
    assert (janelia.user, janelia.password) == ("${env:LINK_USER}", "${env:LINK_PASS}")
    assert janelia.tls is None
    assert [s.name for s in princeton.schemas] == ["ephys", "lab", "session"]
    ephys = rules(manifest, "princeton", "ephys")["*"]
    assert ephys.options == Options.model_construct(stores=(("raw", "ourlab_raw"),), schema_name="ours_ephys")
    lab = rules(manifest, "princeton", "lab")
    assert lab["*"].options == Options(pull="needed", schema_name="ours_{source}_{schema}")
    assert lab["Subject"].options.where == Equals("subject", ("A001", "A002"))
    assert lab["Subject"].location == Location(str(path), 29, 11)
    assert rules(manifest, "princeton", "session")["SessionNote"].location == Location(str(path), 32, 27)
    (removed,) = manifest.removed
    assert (removed.address, removed.table, removed.location.line) == ("princeton.lab.OldTable", "keep", 44)
    (approval,) = manifest.approvals
    assert (approval.along, approval.by, approval.until) == (
        (("princeton.ephys.Spikes", 3400),),
        "a.lee",
        "2026-11-20T09:00:00Z",
    )


def test_local_falls_back_to_datajoints_own_variables(tmp_path: Path) -> None:
    local = loaded(tmp_path, one("")).local
    assert (local.user, local.password) == ("${env:DJ_USER}", "${env:DJ_PASS}")


def test_a_password_reference_is_not_in_a_servers_repr(tmp_path: Path) -> None:
    assert "LINK_PASS" not in repr(loaded(tmp_path, ATLAS).sources[1])


EVERYWHERE: list[tuple[str, str, str, Any, Any]] = [
    ("pull", "none", "all", "none", "all"),
    ("deletions", "auto", "review", "auto", "review"),
    ("unwanted", "release", "keep", "release", "keep"),
    ("changed", "mend", "report", "mend", "report"),
    ("max_deletions", "7", "2.5%", Limit(7.0, percent=False), Limit(2.5, percent=True)),
    ("stores", "{a: b}", "{c: d}", (("a", "b"),), (("c", "d"),)),
    ("schema_name", "x", '"{source}"', "x", "{source}"),
]


@pytest.mark.parametrize(("option", "far", "near", "far_value", "near_value"), EVERYWHERE)
@pytest.mark.parametrize("level", range(4))
def test_the_nearest_level_wins(
    tmp_path: Path, option: str, far: str, near: str, far_value: object, near_value: object, level: int
) -> None:
    def text(set_at: dict[int, str]) -> str:
        said = [f"{option}: {set_at[n]}, " if n in set_at else "" for n in range(4)]
        return f"""\
{HEAD}defaults: {{{said[0]}}}
sources:
  lab_a: {{host: h, {said[1]} schemas: {{s: {{{said[2]} tables: {{T: {{{said[3]}}}}}}}}}}}
"""

    def value(set_at: dict[int, str]) -> object:
        return getattr(rules(loaded(tmp_path, text(set_at)))["T"].options, option)

    assert value({}) == getattr(Options(), option)
    assert value({level: far}) == far_value
    for above in range(level):
        assert value({above: far, level: near}) == near_value


def test_where_is_read_with_the_options_that_fall_on_its_table(tmp_path: Path) -> None:
    text = tables("T: {where: 'd > CURDATE()'}")
    assert rules(loaded(tmp_path, text))["T"].options.where == SqlCondition("d > CURDATE()")
    found = told(
        tmp_path,
        tables("T: {where: ▸'d > CURDATE()'}").replace("sources:", "defaults: {unwanted: release}\nsources:"),
    )
    assert "CURDATE" in found.summary


@pytest.mark.parametrize("said", ['"*"', '["*"]', '{"*": {}}', '{"*": }'])
def test_the_short_forms_of_tables_mean_the_same(tmp_path: Path, said: str) -> None:
    manifest = loaded(tmp_path, f"{HEAD}{SOURCE}      s: {{tables: {said}}}\n")
    assert {name: r.options for name, r in rules(manifest).items()} == {"*": Options()}


def test_depends_on_and_outbound_table(tmp_path: Path) -> None:
    manifest = loaded(tmp_path, tables("A:\nB: {depends_on: [lab_a.s.A], outbound_table: our_b}"))
    options = rules(manifest)["B"].options
    assert (options.depends_on, options.outbound_table) == (("lab_a.s.A",), "our_b")


def test_load_raises_every_problem(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as raised:
        load([written(tmp_path, one("pull: al, deletions: noo"))])
    assert len(raised.value.diagnostics) == 2
    assert raised.value.location == raised.value.diagnostics[0].location
    assert "(and 1 more)" in str(raised.value)


# Several files


def shares(tmp_path: Path, *texts: str) -> list[Path]:
    return [written(tmp_path, text.replace("▸", ""), f"f{n}.yaml") for n, text in enumerate(texts)]


def layered(tmp_path: Path, *texts: str) -> tuple[Any, tuple[Diagnostic, ...]]:
    return read(shares(tmp_path, *texts))


def test_a_later_file_adds_replaces_and_removes(tmp_path: Path) -> None:
    base = tables("A: {pull: all}\nB: {where: {x: 1}}\nC:")
    upper = """\
name: other
sources:
  lab_a:
    port: 3310
    schemas:
      s: {tables: {A: {where: "y > 1"}, B: {where: null}, C: null, D: {}}}
"""
    manifest, found = layered(tmp_path, base, upper)
    assert found == ()
    said = rules(manifest)
    assert sorted(said) == ["A", "B", "D"]
    assert said["A"].options == Options.model_construct(where=SqlCondition("y > 1"))
    assert said["B"].options == Options()
    assert (manifest.name, manifest.sources[0].port) == ("other", "3310")
    assert said["A"].location.file.endswith("f0.yaml")
    assert said["D"].location.file.endswith("f1.yaml")
    assert len(manifest.files) == 2


def test_a_problem_in_a_later_file_is_told_there(tmp_path: Path) -> None:
    upper = "sources: {lab_a: {schemas: {s: {tables: {T: {pull: ▸al}}}}}}\n"
    manifest, found = layered(tmp_path, one("pull: all"), upper)
    assert manifest is None
    assert [(d.location.file[-7:], d.location.line, d.location.column) for d in found] == [
        ("f1.yaml", *marked(upper)[0])
    ]


def test_removing_what_is_not_there_is_told(tmp_path: Path) -> None:
    upper = "▸contcat: null\nsources: {lab_a: {schemas: {s: {tables: {▸New: }}}}}\n"
    _, found = layered(tmp_path, one(""), upper)
    assert places(found) == marked(upper)
    assert [d.help for d in found] == [
        "did you mean `contact`?",
        "to add a table without options write `New: {}`",
    ]


def test_a_subtree_that_is_new_may_hold_tables_without_options(tmp_path: Path) -> None:
    manifest, found = layered(tmp_path, one(""), "sources: {lab_a: {schemas: {t: {tables: {A: , B: }}}}}\n")
    assert found == ()
    assert sorted(rules(manifest, schema="t")) == ["A", "B"]


def test_lists_are_replaced_but_approvals_are_joined(tmp_path: Path) -> None:
    approval = (
        "{{link: lab_a.s.T, keys: 'sha256:{}', count: 1, "
        "until: 2026-11-20T09:00:00Z, by: a, date: 2026-11-20}}"
    )
    first = (
        one("") + "approvals:\n- " + approval.format("a" * 16) + "\nremoved: {lab_a.s.Old: {table: keep}}\n"
    )
    second = (
        "approvals: [" + approval.format("b" * 16) + "]\n"
        "removed: {lab_a.s.Older: {table: drop}}\n"
        "sources: {lab_a: {schemas: {s: {tables: [T, U]}}}}\n"
    )
    manifest, found = layered(tmp_path, first, second)
    assert found == ()
    assert [a.keys[-1] for a in manifest.approvals] == ["a", "b"]
    assert [r.address for r in manifest.removed] == ["lab_a.s.Old", "lab_a.s.Older"]
    assert sorted(rules(manifest)) == ["T", "U"]


def test_relative_paths_start_from_the_file_that_says_them(tmp_path: Path) -> None:
    base = written(tmp_path, one(""), "m.yaml")
    upper = written(tmp_path, "local: {tls: {ca: x.pem}}\n", "site/tls.yaml")
    manifest = load([base, upper])
    assert manifest.local.place_of("host").file == str(base)
    assert manifest.local.place_of("tls.ca").file == str(upper)


def test_a_folder_is_all_its_files_side_by_side(tmp_path: Path) -> None:
    head, source = one("").split("sources:")
    written(tmp_path, head, "d/main.yaml")
    written(tmp_path, "manifest: 1\nsources:" + source, "d/lab_a.yaml")
    written(
        tmp_path,
        "sources: {lab_b: {host: g, password: '${env:B}', schemas: {s: {schema_name: t, tables: [T]}}}}\n",
        "d/lab_b.yaml",
    )
    written(tmp_path, "nonsense: [", "d/.hidden.yaml")
    written(tmp_path, "nonsense: [", "d/notes.txt")
    manifest, found = read([tmp_path / "d"])
    assert found == ()
    assert manifest is not None
    assert [s.name for s in manifest.sources] == ["lab_a", "lab_b"]
    assert [Path(f).name for f in manifest.files] == ["lab_a.yaml", "lab_b.yaml", "main.yaml"]


def test_the_same_key_twice_in_a_folder_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, one(""), "d/a.yaml")
    again = "manifest: 1\n▸name: other\nsources: {lab_a: {▸host: x, schemas: {s: {▸tables: [U]}}}}\n"
    written(tmp_path, again.replace("▸", ""), "d/b.yaml")
    manifest, found = read([tmp_path / "d"])
    assert manifest is None
    assert places(found) == marked(again)
    assert all(d.location.file.endswith("b.yaml") and "a.yaml:" in str(d.help) for d in found)


def test_versions_that_differ_in_a_folder_are_an_error(tmp_path: Path) -> None:
    written(tmp_path, one(""), "d/a.yaml")
    written(tmp_path, "manifest: 2\n", "d/b.yaml")
    assert read([tmp_path / "d"])[0] is None


def test_a_broken_file_in_a_folder_is_told_beside_what_the_others_say(tmp_path: Path) -> None:
    written(tmp_path, one("pull: al"), "d/a.yaml")
    written(tmp_path, "x: [", "d/b.yaml")
    manifest, found = read([tmp_path / "d"])
    assert manifest is None
    assert [Path(d.location.file).name for d in found] == ["a.yaml", "b.yaml"]


def test_other_endings_in_a_folder_are_told(tmp_path: Path) -> None:
    written(tmp_path, one(""), "d/a.yaml")
    written(tmp_path, "x", "d/b.yml")
    manifest, found = read([tmp_path / "d"])
    assert manifest is not None
    assert [d.summary for d in found] == ["`b.yml` is not read: only `*.yaml` files of a folder are read"]


def test_a_folder_can_be_overlaid(tmp_path: Path) -> None:
    written(tmp_path, one(""), "d/a.yaml")
    manifest = load([tmp_path / "d", written(tmp_path, "name: test\n", "over.yaml")])
    assert manifest.name == "test"


def test_paths_that_give_nothing_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    good = written(tmp_path, one(""))
    assert [d.summary for d in read([])[1]] == ["no manifest file given"]
    (missing,) = read([tmp_path / "none.yaml"])[1]
    assert missing.summary == "the file cannot be read: No such file or directory"
    assert missing.help == "check the name, or name the manifest with `-f FILE`"
    assert [d.summary for d in read([tmp_path / "empty"])[1]] == ["the folder contains no `*.yaml` file"]
    assert [d.summary for d in read([good, good])[1]] == ["the file is named twice"]
    assert [d.summary for d in read(["a\0b"])[1]] == ["the file cannot be read: not a path"]


# Laws

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "pull": st.sampled_from(["all", "none"]),
        "deletions": st.sampled_from(["review", "auto"]),
        "max_deletions": st.sampled_from(["5%", 3]),
        "stores": st.dictionaries(st.sampled_from("ab"), st.sampled_from("cd"), max_size=2),
    },
)
TABLE = st.builds(
    lambda options, where: {**options, **where},
    OPTIONS,
    st.sampled_from(
        [{}, {"where": "a > 1"}, {"where": {"a": [1, 2], "b": None}}, {"where": [{"b": 1, "a": 2}, "c"]}]
    ),
)
SCHEMA = st.builds(
    lambda options, tables: {**options, "tables": tables},
    OPTIONS,
    st.dictionaries(st.sampled_from(["*", "A*", "Alpha", "Beta", "__gamma"]), TABLE, min_size=1, max_size=2),
)
SOURCES = st.builds(
    lambda options, schemas, name: {
        **options,
        "host": "h-" + name,
        "schema_name": name + "_{schema}",
        "schemas": schemas,
    },
    OPTIONS,
    st.dictionaries(st.sampled_from(["s", "t", "u"]), SCHEMA, min_size=1, max_size=2),
    st.sampled_from(["p", "q"]),
)
WHOLES = st.builds(
    lambda defaults, one, two: {
        "manifest": 1,
        "name": "m",
        "contact": "c",
        "local": {"host": "l"},
        "defaults": defaults,
        "sources": {"lab_a": one, "lab_b": {**two, "schema_name": "lab_b_{schema}"}},
    },
    OPTIONS,
    SOURCES,
    SOURCES,
)
PROPERTY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(v, random) for v in value] if isinstance(value, list) else value


@PROPERTY
@given(WHOLES, st.randoms())
def test_nothing_depends_on_the_order_of_keys_or_on_the_layout(
    tmp_path: Path, whole: Any, random: Any
) -> None:
    first = loaded(tmp_path, yaml.safe_dump(whole, sort_keys=False))
    second = loaded(
        tmp_path,
        "# other\n" + yaml.safe_dump(shuffled(whole, random), sort_keys=False, default_flow_style=True),
    )
    assert without_places(first) == without_places(second)
    assert first.digest == second.digest


@PROPERTY
@given(WHOLES, WHOLES)
def test_manifests_that_say_different_things_have_different_digests(
    tmp_path: Path, one: Any, other: Any
) -> None:
    digests = [loaded(tmp_path, yaml.safe_dump(whole)).digest for whole in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


def tree_of(value: Any) -> Fields:
    root = parse(yaml.safe_dump(value).encode(), "m.yaml", Problems())
    assert root is not None
    return root


def over(*values: Any) -> Any:
    result = tree_of(values[0])
    for value in values[1:]:
        result = overlaid(result, tree_of(value), Problems())
    return plain(result)


NESTED: st.SearchStrategy[Any] = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(st.sampled_from("abc"), NESTED, max_size=3)


@PROPERTY
@given(DATA, DATA)
def test_overlays_keep_their_laws(one: Any, other: Any) -> None:
    assert over(one, {}) == over({}, one) == over(one, one) == one
    both = over(one, other)
    assert over(one, other, other) == both
    assert over(one, both) == both
    assert set(both) == set(one) | set(other)
    assert over(one, dict.fromkeys(one)) == {}
    assert over(both, dict.fromkeys(one)) == {key: both[key] for key in both if key not in one}


MAPPINGS: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from("abc"),
    st.fixed_dictionaries({}, optional={"x": st.integers(), "y": st.lists(st.integers())}),
)


@PROPERTY
@given(MAPPINGS, MAPPINGS, MAPPINGS)
def test_overlaying_is_associative_where_mappings_meet_mappings(one: Any, two: Any, three: Any) -> None:
    assert over(over(one, two), three) == over(one, over(two, three))


def test_a_condition_is_replaced_as_a_whole_and_its_null_means_null(tmp_path: Path) -> None:
    upper = "sources: {lab_a: {schemas: {s: {tables: {T: {where: {b: null}}}}}}}\n"
    manifest, found = layered(tmp_path, one("where: {a: 1, b: 2}"), upper)
    assert found == ()
    assert rules(manifest)["T"].options.where == Equals("b", (None,))


def test_comments_and_layout_are_not_in_the_digest_and_values_are(tmp_path: Path) -> None:
    base = loaded(tmp_path, one("where: {a: 1}")).digest
    assert loaded(tmp_path, "# hello\nx-a: 1\n" + one("where:   {  a: 1 }")).digest == base
    assert loaded(tmp_path, one("where: {a: '1'}")).digest != base
    assert len(base) == 64


# The whole process


def test_a_hundred_links_are_validated_without_drivers(tmp_path: Path) -> None:
    lines = "\n".join(f"Table{n}: {{where: {{a: [1, 2, {n}]}}, pull: all}}" for n in range(100))
    path = written(tmp_path, tables(lines))
    program = (
        "import sys; from djlink_manifest.manifest.load import load; m = load([sys.argv[1]]);"
        "print(len(m.sources[0].schemas[0].rules),"
        "[n for n in ('datajoint', 'pymysql', 'networkx', 'numpy', 'rich', 'click') if n in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert said.stdout.split(" ", 1) == ["100", "[]\n"]


def test_five_thousand_links_take_no_time_that_grows_with_their_square(tmp_path: Path) -> None:
    def cost(links: int) -> float:
        path = written(tmp_path, tables("\n".join(f"Table{n}: {{pull: all}}" for n in range(links))))
        began = time.process_time()
        assert read([path])[0] is not None
        return time.process_time() - began

    few = min(cost(1000) for _ in range(2))
    assert min(cost(5000) for _ in range(2)) < 15 * few  # 5 times as much is due; the square would be 25


def test_the_rule_of_one_table(tmp_path: Path) -> None:
    assert rule(tmp_path, "pull: none").options.pull == "none"
