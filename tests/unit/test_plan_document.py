"""A plan as a document: what is read from it is what was written, and shows what the plan showed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.cli.commands.saved_plans import check_target, read_plan
from djlink_manifest.errors import UsageError
from djlink_manifest.model.links.link import Growth
from djlink_manifest.reconcile.plan.plan import Plan
from djlink_manifest.reconcile.plan.terms import PlanTerms
from djlink_manifest.report.document.comparison import against_of
from djlink_manifest.report.document.read import parse
from djlink_manifest.report.document.restore import plan_of, terms_of
from djlink_manifest.report.document.schema import FILE, rendered
from djlink_manifest.report.document.write import document_text
from djlink_manifest.report.plan.against import against
from djlink_manifest.report.plan.html import plan_html
from djlink_manifest.report.plan.json_form import checksum, plan_json
from djlink_manifest.report.plan.status import status_lines
from djlink_manifest.report.plan.text import plan_lines
from djlink_manifest.report.screen.layout import laid_out
from tests.unit import plan_samples as samples

FILES = Path(__file__).parent / "plan_files"
TERMS = PlanTerms(
    "2026-11-30T10:00:00Z", ("atlas.yaml",), ("lab_a.*",), ("lab_b.*",), True, Growth(5.0, percent=True)
)


@given(samples.PLANS)
@settings(deadline=None, max_examples=40)
def test_the_document_of_any_plan_shows_what_the_plan_shows(plan: Plan) -> None:
    read = plan_of(parse(document_text(plan_json(plan)).encode(), "plan.json"))
    shown, expected = ([line.plain for line in laid_out(plan_lines(each), None)] for each in (read, plan))
    assert list(map(_text, shown)) == list(map(_text, expected))
    assert len(status_lines(read)) == len(status_lines(plan))
    assert _text(plan_html(read)) == _text(plan_html(plan))


def _text(shown: str) -> str:
    r"""Without doubled backslashes: the file has `\udcff` for half of a character, which quoting doubles."""
    return shown.replace("\\\\", "\\")


@given(samples.PLANS)
@settings(deadline=None, max_examples=40)
def test_the_document_of_any_plan_is_read_without_loss(plan: Plan) -> None:
    text = document_text(plan_json(plan, TERMS))
    document = parse(text.encode(), "plan.json")
    assert json.loads(document.model_dump_json(by_alias=True)) == json.loads(text)
    assert document.terms is not None
    assert terms_of(document.terms) == TERMS


def test_a_document_of_the_version_before_shows_what_its_plan_showed() -> None:
    document = parse((FILES / "version_1.json").read_bytes(), "plan.json")
    shown = "\n".join(str(each) for each in plan_lines(plan_of(document)))
    # the only thing that version 1 did not say is the source's clock, so that ages are missing
    expected = "\n".join(str(each) for each in plan_lines(samples.rich_plan()))
    for age in (" (12 days)", " (today)"):
        assert age in expected
        expected = expected.replace(age, "")
    assert shown == expected
    assert document.terms is None


def test_the_schema_is_made_from_the_form() -> None:
    assert FILE.read_text(encoding="utf-8") == rendered()


def test_a_document_with_terms_is_as_the_schema_says() -> None:
    value = json.loads(document_text(plan_json(samples.rich_plan(), TERMS)))
    jsonschema.Draft202012Validator(json.loads(rendered())).validate(value)


def content(**changes: Any) -> bytes:
    value = json.loads(document_text(plan_json(samples.rich_plan(), TERMS)))
    return json.dumps({**value, **changes}).encode()


DEEP = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
BAD = {
    "empty": (b"", "not valid JSON"),
    "truncated": (content()[:-40], "not valid JSON"),
    "another encoding": ("{}".encode("utf-16"), "not UTF-8"),
    "a mark of byte order": (b"\xef\xbb\xbf" + content(), "not valid JSON"),
    "bytes": (bytes(range(256)), "not UTF-8"),
    "nested deeply": (DEEP, "nested too deeply"),
    "a key twice": (b'{"format_version": 2, "format_version": 2}', "a key is there twice"),
    "no number": (content().replace(b'"seconds": 0.3', b'"seconds": NaN'), "NaN is no number"),
    "a long number": (b'{"format_version": ' + b"9" * 5000 + b"}", "too many digits"),
    "a list": (b"[]", "is not a plan of djlink"),
    "other JSON": (b'{"hello": 1}', "is not a plan of djlink"),
    "a manifest": (b"manifest: 1\n", "not valid JSON"),
    "terraform's": (b'{"format_version": "1.2", "resource_changes": []}', "is not a plan of djlink"),
    "a report of djlink": (b'{"format_version": 1, "outcomes": []}', "is not a plan of djlink"),
    "of the future": (content(format_version=3), "has version 3"),
    "of no version": (content(format_version=0), "has version 0"),
    "true for a version": (content(format_version=True), "is not a plan of djlink"),
    "a field more": (content(extra=1), "extra: extra inputs are not permitted"),
    "a wrong type": (content(links="none"), "links: input should be a valid array"),
    "a count below zero": (content().replace(b'"source_rows": 1200', b'"source_rows": -1'), "source_rows"),
    "a count too large": (content().replace(b'"entities": 1240', b'"entities": 1' + b"0" * 40), "entities"),
    "no moment": (content().replace(b"2026-11-08T09:00:00Z", b"2026-99-99T09:00:00Z"), "since"),
    "half a character": (content().replace(b'"atlas"', b'"\\udcff"'), "lone"),
    "version 1, damaged": (b'{"format_version": 1, "manifest": 1, "local": 1, "sources": 1, "summary": 1, '
                           b'"links": [1], "removals": []}', "damaged or edited"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_plan_is_said_with_the_next_step(case: str) -> None:
    given, words = BAD[case]
    with pytest.raises(UsageError) as caught:
        parse(given, "plan.json")
    assert caught.value.message.startswith("plan.json ")
    assert words in caught.value.message
    assert caught.value.hint is not None
    assert len(caught.value.message) < 300


def test_an_edited_sum_is_noticed() -> None:
    value = json.loads(content())
    value["summary"]["delete"] = 0
    with pytest.raises(UsageError, match="its checksum is another"):
        parse(json.dumps(value).encode(), "plan.json")
    value["checksum"] = checksum(value)
    with pytest.raises(UsageError, match="its sums are not those of its links"):
        parse(json.dumps(value).encode(), "plan.json")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_no_content_breaks_the_reader(given: bytes) -> None:
    with pytest.raises(UsageError):
        parse(given, "plan.json")


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_no_change_of_a_value_breaks_the_reader(data: st.DataObject) -> None:
    value = json.loads(content())
    at, key = _a_place(value, data)
    at[key] = data.draw(
        st.sampled_from([None, -1, 10**30, "x", "\x1b[2J", [], {}, True, 0.5, [[]], {"a": 1}])
    )
    if key != "checksum":  # as one would write it who knows how
        value["checksum"] = checksum(value)
    try:
        read = parse(json.dumps(value).encode(), "plan.json")
    except UsageError:
        return
    shown = "\n".join(str(each) for each in plan_lines(plan_of(read)))
    assert "\x1b" not in shown


def _a_place(value: Any, data: st.DataObject) -> tuple[Any, Any]:
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 5)) == 0:
            return value, key
        value = inner


def test_a_comparison_is_in_the_document_and_comes_back_from_it() -> None:
    compared = against("git:main", samples.quiet_plan(), samples.rich_plan())
    document = parse(json.dumps(plan_json(samples.rich_plan(), against=compared)).encode(), "p.json")
    assert document.against is not None
    assert against_of(document.against) == compared


def test_a_comparison_that_counts_something_unknown_is_refused() -> None:
    value = plan_json(samples.rich_plan(), against=against("x", samples.quiet_plan(), samples.rich_plan()))
    value["against"]["summary"][0]["what"] = "nonsense"
    with pytest.raises(UsageError, match="was damaged or edited: against"):
        parse(json.dumps(value).encode(), "p.json")


def test_the_next_step_for_a_damaged_plan_is_one_that_works_and_never_the_removal_of_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, remedy = "my plan.json", "remove my plan.json, then run `djlink plan --out 'my plan.json'`"
    for damaged in (
        content()[:900],
        content(links="none"),
        content() + b"\xff",
        content().replace(b"1200", b"1201"),
    ):
        Path(name).write_bytes(damaged)
        for refused in (read_plan, check_target):
            with pytest.raises(UsageError) as caught:
                refused(name)
            assert remedy in (caught.value.hint or "")
    Path(name).unlink()
    check_target(name)
    for other in (b"manifest: 1\n", b'{"hello": 1}', b"\xff\xfe"):
        Path(name).write_bytes(other)
        for refused in (read_plan, check_target):
            with pytest.raises(UsageError) as caught:
                refused(name)
            assert "remove" not in (caught.value.hint or "")
