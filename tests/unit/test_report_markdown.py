"""A plan as a comment under a pull request: bounded, harmless, and with all that must never be cut."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from djlink_manifest.reconcile.plan.actions import Blocked, Delete, Pull, Release
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.state.snapshot import Forgotten
from djlink_manifest.report.plan.against import against
from djlink_manifest.report.plan.markdown import MOST, plan_markdown
from djlink_manifest.report.plan.sentences import closing
from djlink_manifest.report.plan.text import sections
from djlink_manifest.report.screen.markdown import code, inline
from djlink_manifest.report.screen.terminal import plain
from tests.support.hostile_text import HOSTILE
from tests.support.markdown import Rendered, as_read
from tests.unit import plan_samples as samples

OURS = {
    *("h3", "h4", "p", "strong", "ul", "li", "code", "pre", "details", "summary", "blockquote"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


def test_a_comment_says_what_the_screen_says() -> None:
    plan = samples.rich_plan()
    text = as_read(Rendered(plan_markdown(plan)).text)
    for _, rows in sections(plan):
        for row in rows:
            for words in (row.subject, row.words, row.place):
                assert as_read(plain(words)) in text, words
    for sentence in closing(plan):
        assert as_read(sentence) in text


def test_a_comment_begins_with_the_summary_then_deletions_and_forgotten_links_and_the_rest_is_folded() -> (
    None
):
    text = plan_markdown(samples.rich_plan())
    places = [
        text.index(each)
        for each in ("**Plan: 1 link", "#### Deletions", "#### Forgotten", "#### Refused", "<details>")
    ]
    assert places == sorted(places)
    assert "Wave 1" not in text[: places[-1]]
    assert "```mermaid\nflowchart LR" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_as_it_stands_and_does_nothing(text: str) -> None:
    for shown, kinds in (
        (f"- {inline(text)}\n", {"ul", "li", "code"}),
        (f"- {code(text)}\n", {"ul", "li", "code"}),
    ):
        found = Rendered(shown)
        assert set(found.tags) <= kinds, shown
        assert found.linked == [], shown
        assert shown.count("\n") == 1
    assert as_read(Rendered(f"- {inline(text)}\n").text) == as_read(plain(text))
    assert as_read(plain(text)) in as_read(Rendered(f"- {code(text)}").text) or not text.strip("` ")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_everywhere_in_a_plan_make_no_markup(text: str) -> None:
    link = replace(
        samples.SCAN,
        address=f"lab_a.{text}.{text}",
        actions=(Pull(1, ((text, 2),), 9, text), Delete(3, ((text, 4),), ((text, 5),), "approved", text)),
        blocked=(Blocked("review", text, 4, text), Blocked("error", text, 2, text)),
        warnings=(text,),
    )
    server = replace(samples.LAB_C, name=text, host=text, problem=text, hint=text)
    plan = replace(
        samples.rich_plan(),
        manifest=text,
        files=(text,),
        links=(link, samples.TRACE),
        sources=(server,),
        refusals=(replace(samples.REFUSAL, address=text, reason=text, hint=text),),
        forgotten=(Forgotten(text, f"{text}.{text}", text, text, 3),),
        warnings=(text,),
    )
    made = plan_markdown(plan, against=against(text, samples.quiet_plan(), plan))
    found = Rendered(made)
    assert set(found.tags) <= OURS
    assert set(found.attributes) <= {("code", "class", "language-mermaid")} | {
        ("th", "style", "text-align:right"),
        ("td", "style", "text-align:right"),
    }
    assert found.linked == []
    assert re.findall("^ *```.*", made, re.MULTILINE) == ["```mermaid", "```"]
    assert not re.search(r"^/", made, re.MULTILINE)


@settings(max_examples=40, deadline=None)
@given(samples.PLANS)
def test_of_any_plan_the_markup_is_ours(plan: Plan) -> None:
    found = Rendered(plan_markdown(plan))
    assert set(found.tags) <= OURS
    assert found.linked == []


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(codec="utf-8"), max_size=30) | st.text("`*_<>[]()!@#|~\\ a-1.+\n&;:/", max_size=12)
)
def test_any_text_is_shown_as_it_stands(text: str) -> None:
    found = Rendered(f"- {inline(text)}\n")
    assert set(found.tags) <= {"ul", "li", "code"}
    assert as_read(found.text) == as_read(plain(text))
    assert found.linked == []


def many(count: int, *, deleting: bool) -> Plan:
    """A plan of many links, all of which delete or pull."""
    actions = (
        (
            Delete(
                3, (("lab_a.s.Other", 8),), (("ours.t", 4), ("ours.u", 8)), "approved", "requested, approved"
            ),
        )
        if deleting
        else (Pull(10, (("Part", 20),), 9000, "new rows"),)
    )
    links = tuple(
        LinkPlan(
            f"lab_a.schema_{n // 50}.SomeTableOfTheLab{n:05}", 1 + n % 9, samples.at(n + 1), actions=actions
        )
        for n in range(count)
    )
    return replace(
        samples.quiet_plan(), links=tuple(sorted(links, key=lambda each: (each.wave, each.address)))
    )


def test_a_plan_that_fits_is_whole_and_says_nothing_of_a_rest() -> None:
    text = plan_markdown(many(60, deleting=False))
    assert "Left out" not in text
    assert text.count("SomeTableOfTheLab") >= 60


@pytest.mark.parametrize("count", [300, 6_000])
def test_waves_give_way_to_deletions_and_forgotten_links_and_the_comment_says_what_it_left_out(
    count: int,
) -> None:
    plan = many(count, deleting=False)
    forgotten = tuple(replace(samples.FORGOTTEN, source_table=f"lab.old_{n}") for n in range(40))
    deleting = replace(samples.SOUND, requests=None)
    plan = replace(plan, links=(*plan.links, deleting), forgotten=forgotten)
    text = plan_markdown(plan, whole="see the run's artifact")
    assert len(text) <= MOST
    if count > 300:
        assert "**Shortened.** Left out here: Wave " in text
        assert "see the run's artifact" in text
        assert "further entries" in text
    for each in forgotten:
        assert code(each.address) in text
    assert "delete 4 local rows: deletion requested, approved by a.lee" in text


@pytest.mark.parametrize(
    ("count", "words"), [(600, "by link"), (6_000, "by schema"), (400_000, "which links")]
)
def test_deletions_that_do_not_fit_are_counted_by_link_then_by_schema(count: int, words: str) -> None:
    if count == 400_000:  # so many schemas, of few links
        links = tuple(
            replace(samples.SOUND, address=f"lab_a.schema_of_a_long_name_{n}.T", requests=None)
            for n in range(5_000)
        )
        plan = replace(samples.quiet_plan(), links=links)
    else:
        plan = many(count, deleting=True)
    text = plan_markdown(plan, whole="see the run's artifact")
    assert len(text) <= MOST
    assert words in text[: text.index("####")]
    assert "see the run's artifact" in text
    if words == "by link":
        for link in plan.links:
            assert f"{code(link.address)} 3 to delete locally, 8 of other links with them" in text
    if words == "by schema":
        assert f"{code('lab_a.schema_7')} 150 to delete locally" in text


def test_what_is_released_at_the_source_is_not_cut_either() -> None:
    released = replace(samples.SUBJECT, actions=(Release("lab_a", 3, "no longer wanted"),))
    plan = many(3_000, deleting=False)
    text = plan_markdown(replace(plan, links=(*plan.links, released)))
    assert "`lab_a.lab.Subject` 3 rows: no longer wanted" in text
    assert len(text) <= MOST


def test_a_comparison_is_a_table_of_counts_and_the_links_that_the_change_concerns() -> None:
    before = replace(samples.rich_plan(), links=(replace(samples.SCAN, actions=(Pull(100, (), 0, "new"),)),))
    after = replace(samples.rich_plan(), links=(samples.SCAN, samples.SESSION))
    text = plan_markdown(after, against=against("git:main", before, after))
    assert "| compared with `git:main` | in all | by this change | by the sources |" in text
    assert "| rows to pull | 1,550 | +1,450 | 100 |" in text
    assert "- `+` `lab_a.ephys.Session` \\+1 link to create by this change" in text.replace("`+` ", "`+` ")
