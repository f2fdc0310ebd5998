"""Where links go: no two to one place, under whatever names their server is reached. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.model.links.link import Link
from djlink_manifest.model.tables.owner_views import owner_schema
from djlink_manifest.reconcile.state.snapshot import Refusal

LOCAL = "local"


def target_refusals(
    manifest: Manifest, links: Iterable[Link], outbound: Mapping[str, str], homes: Mapping[str, str]
) -> Iterator[Refusal]:
    """What keeps links from where they would go.

    `outbound` gives each source's outbound schema, `homes` the first name of the same server.
    """
    links = tuple(links)
    by_local = _grouped(links, lambda link: [(t.schema, t.name) for t in link.local.tables])
    by_outbound = _grouped(
        links, lambda link: [(_home(link, homes), link.outbound_schema, link.outbound_table)]
    )
    # the id of a link follows from these: two of them would be one link
    by_source = _grouped(
        links,
        lambda link: [
            (_home(link, homes), link.outbound_schema, link.definition.schema, link.definition.name)
        ],
    )
    told = set[tuple[str, str]]()
    for groups, what, option in (
        (by_local, "it has the same local table as", "schema_name"),
        (by_outbound, "it has the same outbound table as", "outbound_table"),
        (by_source, "it links the same table of the same server into the same schema as", "outbound"),
    ):
        for target, group in groups.items():
            for link in group:
                others = ", ".join(o.address for o in group if o is not link)
                if others and (link.address, others) not in told:
                    told.add((link.address, others))
                    words = f"{what} {others}: {'.'.join(target[-2:])}"
                    yield Refusal(link.address, words, f"separate them with `{option}`", link.location)
    yield from _into_sources(manifest, links, outbound, homes)


def _into_sources(
    manifest: Manifest, links: Iterable[Link], outbound: Mapping[str, str], homes: Mapping[str, str]
) -> Iterator[Refusal]:
    """Links whose local schema is one that a source on the local server has for something else."""
    taken = dict[str, str]()
    for spec in manifest.sources:
        if homes.get(spec.name) == LOCAL:
            schema = outbound[spec.name]
            taken.update({each.name: f"a source schema of {spec.name}" for each in spec.schemas})
            taken[schema] = f"the outbound schema of {spec.name}"
            taken[owner_schema(schema)] = f"the owner schema of {spec.name}"
    for link in links:
        if link.local.schema in taken:
            what = f"{taken[link.local.schema]}, which is the local server itself"
            words = f"its local schema `{link.local.schema}` is {what}"
            yield Refusal(link.address, words, "set `schema_name`", link.location)


def _home(link: Link, homes: Mapping[str, str]) -> str:
    return homes.get(link.source, link.source)


def _grouped(
    links: Iterable[Link], places: Callable[[Link], Sequence[tuple[str, ...]]]
) -> Mapping[tuple[str, ...], list[Link]]:
    found: dict[tuple[str, ...], list[Link]] = {}
    for link in links:
        for place in places(link):
            found.setdefault(place, []).append(link)
    return found
