"""Render links by schema: in a summary, and new links where there are many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from djlink_manifest.reconcile.plan.actions import CreateLocal, CreateOutbound, Pull
from djlink_manifest.reconcile.plan.plan import LinkPlan
from djlink_manifest.report.plan.sentences import changes, leftovers
from djlink_manifest.report.plan.totals import of_links
from djlink_manifest.report.screen.figures import counted, listed
from djlink_manifest.report.screen.rows import CREATE, DELETE, NOTE, RESUME, REVIEW, TROUBLE, Row

MANY_NEW = 20  # so many new links are listed each
SHOWN_NAMES = 4
SHOWN_WARNINGS = 3


def foldable(links: Iterable[LinkPlan]) -> frozenset[str]:
    """Return the new links that are told by schema: those that are only created and pulled, if many."""
    found = frozenset(link.address for link in links if _only_new(link))
    return found if len(found) > MANY_NEW else frozenset()


def new_rows(links: Iterable[LinkPlan]) -> list[Row]:
    """Return the rows of new links by schema: what is created and pulled, their names, and their warnings."""
    rows = list[Row]()
    for schema, of_schema in _by_schema(links).items():
        rows.append(Row(CREATE, schema, ", ".join(changes(of_links(of_schema), False))))
        names = [link.address.removeprefix(f"{schema}.") for link in of_schema]
        rows.append(Row(NOTE, "", listed(names, SHOWN_NAMES), style="dim"))
        rows += _notes(of_schema)
    return rows


def summary_rows(links: Iterable[LinkPlan]) -> list[Row]:
    """Return a row for each schema with changes or with something in the way; the others are counted."""
    rows = list[Row]()
    for schema, of_schema in _by_schema(links).items():
        totals = of_links(of_schema)
        due = changes(totals, True)
        rest = leftovers(totals)
        if due or any(not link.is_unchanged or link.drift or link.kept for link in of_schema):
            rows.append(
                Row(_symbol(of_schema), schema, "; ".join(filter(None, [", ".join(due), ", ".join(rest)])))
            )
    return rows


def _only_new(link: LinkPlan) -> bool:
    does_more = link.blocked or link.drift or link.kept or link.requests
    return (
        link.new and not does_more and any(isinstance(a, CreateOutbound | CreateLocal) for a in link.actions)
    )


def _by_schema(links: Iterable[LinkPlan]) -> dict[str, list[LinkPlan]]:
    found: dict[str, list[LinkPlan]] = {}
    for link in sorted(links, key=lambda each: each.address):
        found.setdefault(link.address.rpartition(".")[0], []).append(link)
    return found


def _notes(links: Sequence[LinkPlan]) -> Iterator[Row]:
    skipped = sum(count for link in links for _, count in link.left_out)
    if skipped:
        yield Row(NOTE, "", f"{counted(skipped, 'row')} skipped", style="dim")
    warnings = Counter(words for link in links for words in link.warnings)
    for words, count in list(warnings.items())[:SHOWN_WARNINGS]:
        of = f" ({counted(count, 'link')})" if count > 1 else ""
        yield Row(NOTE, "", f"warning: {words}{of}", style="yellow")
    if len(warnings) > SHOWN_WARNINGS:
        left = counted(len(warnings) - SHOWN_WARNINGS, "further warning")
        yield Row(NOTE, "", f"{left}: `djlink plan --full` shows them", style="yellow")


def _symbol(links: Sequence[LinkPlan]) -> str:
    """The most serious sign of some links."""
    kinds = {block.kind for link in links for block in link.blocked}
    totals = of_links(links)
    if "error" in kinds or totals.drifting:
        return TROUBLE
    if "review" in kinds:
        return REVIEW
    if totals.delete or totals.release:
        return DELETE
    acts = any(isinstance(a, Pull | CreateLocal | CreateOutbound) for link in links for a in link.actions)
    return CREATE if acts else RESUME if any(link.actions for link in links) else NOTE
