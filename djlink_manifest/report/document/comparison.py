"""The form of a plan's comparison with that of an old manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from djlink_manifest.report.document.actions import Count, Form
from djlink_manifest.report.plan.against import WORDS, Against, LinkSplit, Split, Splits


def _counted(name: str) -> str:
    if name not in WORDS:
        raise ValueError("no count of a plan")
    return name


class SplitForm(Form):
    """A count of the plan, split; only counts that are not zero are there."""

    what: Annotated[str, AfterValidator(_counted)] = Field(description="a field of `summary`")
    total: Count
    by_change: int = Field(description="what the change of the manifest adds; negative where it takes away")
    by_sources: Count = Field(description="the count in the plan of the old manifest")


class LinkSplitForm(Form):
    """The counts of a link that the change concerns."""

    address: str
    side: Literal["both", "new", "old"] = Field(description="which manifest declares it")
    counts: tuple[SplitForm, ...]


class AgainstForm(Form):
    """The plan beside that of an old manifest (`--against`), from the same servers."""

    name: str = Field(description="what the old manifest was called")
    digest: str
    has_errors: bool = Field(description="whether the old manifest's plan has errors")
    summary: tuple[SplitForm, ...]
    links: tuple[LinkSplitForm, ...]


def against_of(form: AgainstForm) -> Against:
    """Return the comparison that a document says."""
    links = tuple(LinkSplit(link.address, link.side, _splits(link.counts)) for link in form.links)
    return Against(form.name, form.digest, form.has_errors, _splits(form.summary), links)


def _splits(counts: tuple[SplitForm, ...]) -> Splits:
    return tuple((each.what, Split(each.total, each.by_sources)) for each in counts)
