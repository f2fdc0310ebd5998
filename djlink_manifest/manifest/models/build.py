"""Models → the frozen values of `values`: options fall from `defaults` to source, schema and table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from djlink_manifest.manifest.models import schema_models
from djlink_manifest.manifest.models.secrets import folder_of
from djlink_manifest.manifest.models.values import (
    Approval,
    Manifest,
    Options,
    Removed,
    SchemaSpec,
    ServerSpec,
    SourceSpec,
    StoreSpec,
    TableRule,
    TlsSpec,
)
from djlink_manifest.manifest.models.where import condition
from djlink_manifest.manifest.text import references
from djlink_manifest.manifest.text.nodes import Entry, Fields, Items, Leaf, Steps, dotted, node_at, spot_of
from djlink_manifest.manifest.text.problems import Problems, Spot
from djlink_manifest.model.links.selection import Condition

_FALLING = tuple(schema_models.OptionsModel.model_fields)


def built(
    whole: schema_models.ManifestModel, root: Fields, files: Sequence[str], digest: str, problems: Problems
) -> Manifest:
    """The manifest as values; conditions that cannot be read are noted as problems and left out."""
    return Manifest(
        name=whole.name,
        contact=whole.contact,
        local=_server("local", whole.local, root, ("local",)),
        sources=tuple(_source(name, whole, root, problems) for name in sorted(whole.sources)),
        removed=tuple(
            Removed(address, entry.table, _at(root, ("removed", address)))
            for address, entry in sorted(whole.removed.items())
        ),
        approvals=_approvals(whole, root),
        files=tuple(files),
        digest=digest,
    )


def table_keys(root: Fields, source: str, schema: str) -> Iterator[tuple[str, Steps, Spot]]:
    """(pattern, steps, place) of every key below `tables` of a schema, in any of its three forms."""
    steps: Steps = ("sources", source, "schemas", schema, "tables")
    match node_at(root, steps):
        case Leaf(value=str() as text, spot=spot):
            yield text, steps, spot
        case Items(items=items):
            for index, item in enumerate(items):
                if isinstance(item, Leaf) and isinstance(item.value, str):
                    yield item.value, (*steps, index), item.spot
        case Fields(entries=entries):
            for key, entry in entries.items():
                yield key, (*steps, key), entry.spot


def _source(name: str, whole: schema_models.ManifestModel, root: Fields, problems: Problems) -> SourceSpec:
    source = whole.sources[name]
    steps = ("sources", name)
    return SourceSpec(
        name=name,
        server=_server(name, source, root, steps),
        outbound=source.outbound or references.LINK_OUTBOUND,
        schemas=tuple(_schema(name, schema, whole, root, problems) for schema in sorted(source.schemas)),
        location=_at(root, steps),
        stores=tuple(
            _store(source.store_settings, each, root, steps) for each in sorted(source.store_settings)
        ),
        options=_options([whole.defaults, source], schema_models.TableModel(), root, steps, problems),
    )


def _store(
    given: Mapping[str, schema_models.StoreModel | str], name: str, root: Fields, source: Steps
) -> StoreSpec:
    store, steps = given[name], (*source, "store_settings", name)
    if isinstance(store, str):
        return StoreSpec(name, store, _at(root, steps))
    settings = tuple((key, getattr(store, key)) for key in sorted(store.model_fields_set))
    return StoreSpec(name, settings, _at(root, steps), tuple(_places(root, steps)))


def _schema(
    source: str, name: str, whole: schema_models.ManifestModel, root: Fields, problems: Problems
) -> SchemaSpec:
    schema = whole.sources[source].schemas[name]
    inherited: list[schema_models.OptionsModel] = [whole.defaults, whole.sources[source], schema]
    tables = schema.tables if isinstance(schema.tables, dict) else {}
    rules: dict[str, TableRule] = {}
    for pattern, steps, spot in table_keys(root, source, name):
        table = tables.get(pattern) or schema_models.TableModel()
        options = _options([*inherited, table], table, root, steps, problems)
        rules.setdefault(pattern, TableRule(pattern, options, spot.location))
    return SchemaSpec(
        name=name,
        rules=tuple(rules[pattern] for pattern in sorted(rules)),
        exclude=tuple(sorted(set(schema.exclude))),
        location=_at(root, ("sources", source, "schemas", name)),
    )


def _options(
    levels: Sequence[schema_models.OptionsModel],
    table: schema_models.TableModel,
    root: Fields,
    steps: Steps,
    problems: Problems,
) -> Options:
    fallen: dict[str, Any] = {}
    for level in levels:
        fallen |= {key: getattr(level, key) for key in _FALLING if key in level.model_fields_set}
    if "stores" in fallen:
        fallen["stores"] = tuple(sorted(fallen["stores"].items()))
    steady = fallen.get("unwanted", schema_models.DEFAULT.unwanted) == "release"
    return Options(
        **fallen,
        where=_where(root, steps, steady, problems),
        outbound_table=table.outbound_table or None,
        depends_on=tuple(sorted(set(table.depends_on))),
    )


def _where(root: Fields, steps: Steps, steady: bool, problems: Problems) -> Condition | None:
    node = node_at(root, steps)
    entry: Entry | None = node.entries.get("where") if isinstance(node, Fields) else None
    return condition(entry, dotted((*steps, "where")), problems, steady=steady) if entry else None


def _server(name: str, server: schema_models.ServerModel, root: Fields, steps: Steps) -> ServerSpec:
    user, password = (
        (references.LOCAL_USER, references.LOCAL_PASS)
        if name == "local"
        else (references.LINK_USER, references.LINK_PASS)
    )
    tls: bool | TlsSpec | None = None
    if "tls" in server.model_fields_set:
        files = server.tls
        tls = (
            files
            if isinstance(files, bool)
            else TlsSpec(files.ca or None, files.cert or None, files.key or None)
        )
    location = _at(root, steps)
    return ServerSpec(
        name=name,
        host=server.host,
        port=str(server.port),
        user=server.user or user,
        password=server.password or password,
        tls=tls,
        folder=folder_of(location),
        location=location,
        places=tuple(_places(root, steps)),
    )


def _places(root: Fields, steps: Steps) -> Iterator[tuple[str, Any]]:
    node = node_at(root, steps)
    if isinstance(node, Fields):
        for key, entry in sorted(node.entries.items()):
            if key != "schemas":
                yield key, entry.spot.location
            if key == "tls" and isinstance(entry.value, Fields):
                yield from ((f"tls.{k}", e.spot.location) for k, e in sorted(entry.value.entries.items()))


def _approvals(whole: schema_models.ManifestModel, root: Fields) -> tuple[Approval, ...]:
    found = [
        Approval(
            link=each.link,
            keys=each.keys,
            count=each.count,
            until=each.until,
            along=tuple(sorted(each.along.items())),
            by=each.by,
            date=each.date,
            location=_at(root, ("approvals", index)),
            orphans=each.orphans,
        )
        for index, each in enumerate(whole.approvals)
    ]
    return tuple(sorted(found, key=lambda a: (a.link, a.until, a.keys, a.count, a.along, a.by, a.date)))


def _at(root: Fields, steps: Steps) -> Any:
    return spot_of(root, steps, key=True).location
