"""The page of a plan in a real browser: width, colors, filter, keyboard, print, and no request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from djlink_manifest.model.links.graph import Edge
from djlink_manifest.reconcile.plan.actions import Blocked, CreateLocal, CreateOutbound, Delete, Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.report.plan.against import against
from djlink_manifest.report.plan.html import plan_html
from djlink_manifest.report.plan.page import plan_page
from tests.support.browser import opened, visited
from tests.support.hostile_text import HOSTILE
from tests.unit import plan_samples as samples

WIDTHS = {"desktop": 1280, "phone": 375}
SCHEMES = ("light", "dark")
# the lowest contrast of any text with its ground, as WCAG 2 counts it
CONTRAST = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || ['SCRIPT', 'STYLE', 'title'].includes(element.tagName)) continue;
    if (element.closest('[hidden]')) continue;
    const style = getComputedStyle(element);
    const inSvg = element.namespaceURI.endsWith('svg');
    const box = inSvg && element.parentElement.querySelector(':scope > rect');
    const back = box ? rgb(getComputedStyle(box).fill) : ground(element);
    const [a, b] = [light(rgb(inSvg ? style.fill : style.color)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 120)];
  }
  return worst;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened() as found:
        yield found


def three() -> Plan:
    """A plan of three links."""
    links = (samples.SUBJECT, samples.SESSION, samples.TRACE)
    return replace(samples.rich_plan(), links=links, sources=(samples.LAB_A,), refusals=())


def three_hundred() -> Plan:
    """A plan of three hundred links in a dozen schemas, with all that can happen to them."""
    links = list[LinkPlan]()
    for number in range(300):
        wave, schema = 1 + number % 6, number // 25
        address = f"lab_{'ab'[schema % 2]}.schema_{schema}.TableOfTheLab{number:03}"
        parents = [each.address for each in links if each.wave == wave - 1][-3:]
        needs = tuple(
            Edge(address, parent, "depends_on" if number % 7 == 0 else "foreign key") for parent in parents
        )
        link = LinkPlan(
            address, wave, samples.at(number + 1), needs, source_rows=number * 100, new=number % 3 == 0
        )
        made = (CreateOutbound("lab_a", ("o.t",), "new"), CreateLocal(("l.t",), "new")) if link.new else ()
        if number % 11 == 0:
            link = replace(link, actions=(Delete(3, (), (("l.t", 3),), "approved", "approved by a.lee"),))
        elif number % 13 == 0:
            link = replace(
                link, blocked=(Blocked("error", "a column is gone", hint="djlink doctor", whole=True),)
            )
        elif number % 5:
            link = replace(
                link, actions=(*made, Pull(number * 100, (("Part", 9),), number * 9_000, "new rows"))
            )
        links.append(link)
    links.sort(key=lambda each: (each.wave, each.address))
    forgotten = tuple(replace(samples.FORGOTTEN, source_table=f"lab.old_{n}", held=n) for n in range(3))
    return replace(samples.rich_plan(), links=tuple(links), forgotten=forgotten, refusals=())


PLANS = {"3": three, "300": three_hundred}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("count", PLANS)
def test_a_page_fits_its_window_can_be_read_and_asks_for_nothing(
    browser: Browser, tmp_path: Path, count: str, width: str, scheme: str
) -> None:
    plan, path = PLANS[count](), tmp_path / "plan.html"
    path.write_text(plan_page(plan, against("git:main", samples.quiet_plan(), plan)), encoding="utf-8")
    with visited(browser, path, WIDTHS[width], scheme) as visit:
        page = visit.page
        shot = page.screenshot(path=_kept(f"plan-{count}-{width}-{scheme}.png"), full_page=count == "3")
        assert len(shot) > 10_000
        across = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert across[0] <= across[1]
        worst, element = page.evaluate(CONTRAST)
        assert worst >= 4.5, element
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")
        assert page.locator("svg g[data-node]").count() == len(plan.links)
        assert (visit.said, visit.requests) == ([], [])


def test_the_filter_shows_what_it_is_asked_for_and_says_how_much(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    path.write_text(plan_page(three_hundred()), encoding="utf-8")
    with visited(browser, path, 1280, "light") as visit:
        page, shown = visit.page, visit.page.locator("[data-link]:visible")
        total = shown.count()
        assert total > 200
        page.get_by_label("Filter by link").fill("SCHEMA_3.")
        found = shown.all_text_contents()
        assert 0 < len(found) < 60
        assert all("schema_3." in each for each in found)
        assert page.get_by_role("status").inner_text() == f"{len(found)} of {total} entries shown"
        assert page.locator("section:visible h2", has_text="Forgotten").count() == 0
        assert page.locator(".graph g:not(.aside)[data-node]").count() == 25
        page.get_by_label("Filter by link").fill("nothing of that name")
        assert shown.count() == 0
        page.keyboard.press("Escape")
        assert shown.count() == total
        assert visit.said == []


def test_the_page_is_used_with_the_keyboard_and_its_parts_have_names(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "plan.html"
    path.write_text(plan_page(three()), encoding="utf-8")
    with visited(browser, path, 1280, "light") as visit:
        page = visit.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "filter"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('aria-labelledby')") == "graph"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "a"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        page.keyboard.press("Enter")
        target = page.evaluate("document.querySelector(':target').textContent")
        assert "lab_a.lab.Subject" in target
        assert page.get_by_role("region", name="Graph").count() == 1
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("heading", level=1).inner_text() == "djlink plan: atlas"
        assert page.evaluate("document.documentElement.lang") == "en"


def test_without_scripts_and_on_paper_everything_is_there(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "plan.html"
    path.write_text(plan_page(three()), encoding="utf-8")
    with visited(browser, path, 375, "light", script=False) as visit:
        text = visit.page.locator("main").inner_text()
        for words in (
            "lab_a.ephys.Session",
            "17 rows: deletion requested",
            "lab_a.lab.OldTable",
            "Plan: 1 link",
        ):
            assert words in text
        assert visit.page.locator(".filter").is_hidden()
    with visited(browser, path, 1280, "light") as visit:
        visit.page.emulate_media(media="print")
        assert visit.page.locator(".filter").is_hidden()
        assert visit.page.locator("[data-link]:visible").count() > 3


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_do_nothing_in_the_page(browser: Browser, tmp_path: Path, text: str) -> None:
    link = replace(samples.SCAN, address=f"lab_a.{text}.{text}", warnings=(text,))
    plan = replace(
        samples.rich_plan(),
        manifest=text,
        files=(text,),
        links=(link, samples.SUBJECT),
        sources=(replace(samples.LAB_C, name=text, host=text, problem=text, hint=text),),
        refusals=(replace(samples.REFUSAL, address=text, reason=text, hint=text),),
        warnings=(
            text,
            "<script>document.title='run'</script><img src=https://evil.example/x onerror=alert(1)>",
        ),
    )
    path = tmp_path / "plan.html"
    path.write_text(plan_page(plan), encoding="utf-8")
    with visited(browser, path, 375, "light") as visit:
        assert (visit.said, visit.requests) == ([], [])
        assert visit.page.title().startswith("djlink plan: ")
        assert visit.page.locator("script").count() == 1
        assert visit.page.locator("img, iframe, object, embed").count() == 0
        across = visit.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert across[0] <= across[1]


def test_a_script_that_gets_into_the_page_all_the_same_is_not_run(browser: Browser, tmp_path: Path) -> None:
    path, made = tmp_path / "plan.html", plan_page(three())
    bad = (
        "<script>document.title = 'run'</script><img src='https://evil.example/x' onerror='document.title=1'>"
    )
    path.write_text(made.replace("</main>", bad + "</main>"), encoding="utf-8")
    with visited(browser, path, 375, "light") as visit:
        assert visit.page.title() == "djlink plan: atlas"
        assert visit.said
        assert all("Content Security Policy" in each or "Refused" in each for each in visit.said)


@pytest.mark.parametrize("theme", ["true", "false", None])
def test_a_notebook_shows_the_same_in_its_own_colors(
    browser: Browser, tmp_path: Path, theme: str | None
) -> None:
    path = tmp_path / "cell.html"
    attribute = f' data-jp-theme-light="{theme}"' if theme else ""
    path.write_text(
        f"<!DOCTYPE html><meta charset=utf-8><body{attribute}>{plan_html(three())}", encoding="utf-8"
    )
    with visited(browser, path, 800, "light") as visit:
        worst, element = visit.page.evaluate(CONTRAST)
        assert worst >= 4.5, element
        ground = visit.page.evaluate(
            "getComputedStyle(document.querySelector('.djlink-plan')).backgroundColor"
        )
        assert ground == ("rgb(13, 17, 23)" if theme == "false" else "rgb(255, 255, 255)")
        assert "lab_a.ephys.Session" in visit.page.inner_text("body")


def _kept(name: str) -> Path | None:
    """Where a screenshot is kept to be looked at, if DJLINK_SCREENSHOTS names a folder."""
    folder = os.environ.get("DJLINK_SCREENSHOTS")
    return Path(folder, name) if folder else None
