"""From a plan's document back to a plan, to show it.

Its actions have all that is shown of them, and neither definitions nor marks: they cannot be carried out.
"""

from __future__ import annotations

from collections.abc import Iterable

from djlink_manifest.errors import Location
from djlink_manifest.model.links.graph import Edge
from djlink_manifest.model.links.link import Growth
from djlink_manifest.model.stores.external import ObjectCounts
from djlink_manifest.reconcile.plan import actions as to
from djlink_manifest.reconcile.plan.bounds import Bound
from djlink_manifest.reconcile.plan.outline import PlanOutline, outline_with
from djlink_manifest.reconcile.plan.plan import LinkPlan, Plan
from djlink_manifest.reconcile.plan.removals import Removal
from djlink_manifest.reconcile.plan.terms import PlanTerms
from djlink_manifest.reconcile.state.deletion_requests import (
    Closure,
    LabRows,
    LinkDeletions,
    RequestGroup,
    RequestSet,
    moment,
)
from djlink_manifest.reconcile.state.snapshot import Forgotten, Refusal, ServerFacts
from djlink_manifest.report.document import actions as form
from djlink_manifest.report.document.form import (
    BlockedForm,
    ClosureForm,
    ForgottenForm,
    LinkForm,
    LocationForm,
    PlanDocument,
    RemovalForm,
    RequestsForm,
    ServerForm,
    TermsForm,
)


def plan_of(document: PlanDocument) -> Plan:
    """Return the plan that the document says, to be shown and not to be applied."""
    manifest = document.manifest
    return Plan(
        *(manifest.name, manifest.digest, manifest.files),
        local=_server(document.local),
        sources=tuple(map(_server, document.sources)),
        links=tuple(map(_link, document.links)),
        refusals=tuple(
            Refusal(each.address, each.reason, each.hint, _location(each.location))
            for each in document.refusals
        ),
        forgotten=tuple(map(_forgotten, document.forgotten)),
        warnings=document.warnings,
        removals=tuple(map(_removal, document.removals)),
    )


def outline_in(document: PlanDocument) -> PlanOutline:
    """Return what of the document decides whether another plan does the same."""
    bounds = {
        link.address: [tuple(map(_bound, action.bound)) for action in link.actions] for link in document.links
    }
    removals = {r.address: _bound(r.bound) for r in document.removals if r.bound}
    return outline_with(plan_of(document), bounds, removals)


def _bound(bound: form.BoundForm) -> Bound:
    return Bound(bound.what, bound.digest)


def terms_of(form: TermsForm) -> PlanTerms:
    """Return how the plan was asked for."""
    growth = Growth(form.max_growth.value, form.max_growth.percent) if form.max_growth else None
    return PlanTerms(form.made, form.files, form.targets, form.excludes, form.verify, growth)


def _server(server: ServerForm) -> ServerFacts:
    return ServerFacts(**dict(server))


def _forgotten(link: ForgottenForm) -> Forgotten:
    tables = (link.source_table, link.outbound_table, link.local_table)
    return Forgotten(link.server, *tables, link.held, _location(link.location))


def _location(location: LocationForm | None) -> Location | None:
    return Location(location.file, location.line, location.column) if location else None


def _link(link: LinkForm) -> LinkPlan:
    definitions = link.definitions
    return LinkPlan(
        link.address,
        link.wave,
        _location(link.location),
        tuple(Edge(link.address, need.address, need.kind) for need in link.after),
        actions=tuple(map(action_of, link.actions)),
        blocked=_blocked(link.blocked),
        drift=tuple(to.Drift(each.reason, each.count, each.hint) for each in link.drift),
        warnings=link.warnings,
        new=link.new,
        kept=link.kept,
        left_out=tuple((each.reason, each.count) for each in link.left_out),
        source_rows=link.source_rows,
        outbound_rows=link.outbound_rows,
        local_rows=link.local_rows,
        requests=_requests(link.requests) if link.requests else None,
        observed=link.observed,
        definitions=(("source", definitions.source), ("local", definitions.local)) if definitions else (),
    )


def _blocked(found: Iterable[BlockedForm]) -> tuple[to.Blocked, ...]:
    return tuple(to.Blocked(b.kind, b.reason, b.count, b.hint, b.whole, b.root) for b in found)


def _removal(removal: RemovalForm) -> Removal:
    keys = ((*each.table.partition("."), each.foreign_key) for each in removal.drop_keys)
    return Removal(
        address=removal.address,
        table=removal.table,
        source=removal.address.partition(".")[0],
        link_id="",
        outbound_schema="",
        outbound_table="",
        local_schema=removal.local_schema,
        local_table=removal.local_table.removeprefix(f"{removal.local_schema}."),
        held=removal.held,
        drop_keys=tuple(((schema, name), key) for schema, _, name, key in keys),
        blocked=_blocked(removal.blocked),
        location=_location(removal.location),
    )


def _requests(requests: RequestsForm) -> LinkDeletions:
    found = requests.requested
    return LinkDeletions(
        tuple(RequestGroup(each.reason, each.by, each.count, moment(each.since)) for each in requests.groups),
        granted=_closure(requests.granted),
        requested=RequestSet(
            found.keys,
            found.count,
            moment(found.until) if found.until is not None else None,
            _closure(found),
        )
        if found
        else None,
        now=moment(requests.now) if requests.now is not None else None,
    )


def _closure(closure: ClosureForm) -> Closure:
    return Closure(
        closure.can_go,
        _entities(closure.going),
        _rows(closure.rows),
        closure.local - closure.can_go,
        tuple(LabRows(each.table, each.rows, each.line, each.outbound) for each in closure.held_back_by),
        _entities(closure.along),
    )


def _entities(found: Iterable[form.EntitiesForm]) -> tuple[tuple[str, int], ...]:
    return tuple((each.address, each.entities) for each in found)


def _rows(found: Iterable[form.RowsForm]) -> tuple[tuple[str, int], ...]:
    return tuple((each.table, each.rows) for each in found)


def action_of(action: form.ActionForm) -> to.Action:
    """Return the action, as far as it is shown."""
    server, reason = action.server, action.reason
    match action:
        case form.MoveForm():
            tables = tuple((each.from_, each.to) for each in action.tables)
            return to.Move(action.before, tables, reason, server)
        case form.CreateOutboundForm():
            return to.CreateOutbound(server, action.tables, reason)
        case form.MakeViewsForm():
            return to.MakeViews(server, action.views, reason)
        case form.CreateLocalForm():
            return to.CreateLocal(
                *(action.tables, reason, server), new_schema=action.new_schema, remade=action.remade
            )
        case form.AlterLocalForm():
            return to.AlterLocal(
                *(action.table, action.columns, action.indexes, reason, server), after_rows=action.after_rows
            )
        case form.ChangeLocalForm():
            size = (action.cost, action.rows, action.bytes)
            return to.ChangeLocal(action.table, action.changes, *size, reason=reason, server=server)
        case form.CopyLineageForm():
            return to.CopyLineage(action.schemas, reason, server)
        case form.NoteDefinitionForm():
            return to.NoteDefinition(server, action.digest, reason, after_rows=action.after_rows)
        case form.NoteFilledForm():
            return to.NoteFilled("", reason, server)
        case form.NoteServerForm():
            return to.NoteServer(reason, upgrade=action.upgrade, server=server)
        case form.AddForeignKeyForm():
            return to.AddForeignKey(action.table, action.columns, action.parent, reason, server)
        case _:
            return _of_rows(action)


def _of_rows(
    action: form.PullForm
    | form.PullAgainForm
    | form.RefillForm
    | form.RegisterForm
    | form.ReleaseForm
    | form.GiveUpForm
    | form.ClaimForm
    | form.DeleteForm
    | form.ApproveForm
    | form.MendForm
    | form.NoteRequestsForm,
) -> to.Action:
    server, reason = action.server, action.reason
    match action:
        case form.PullForm():
            parts = tuple((each.part, each.rows) for each in action.parts)
            objects = ObjectCounts(action.objects.count, action.objects.bytes, action.objects.unsized)
            return to.Pull(action.entities, parts, action.bytes, reason, server, objects)
        case form.PullAgainForm():
            return to.PullAgain(action.entities, reason, server, action.whole)
        case form.RefillForm():
            return to.Refill(action.entities, action.cause, reason, server)
        case form.RegisterForm():
            return to.Register(server, action.entities, reason)
        case form.ReleaseForm():
            return to.Release(server, action.entities, reason, action.lost)
        case form.GiveUpForm():
            return to.GiveUp(server, action.entities, reason)
        case form.ClaimForm():
            return to.Claim(
                *(server, action.entities, reason), keys=action.keys, until=action.until, by=action.by
            )
        case form.DeleteForm():
            return to.Delete(
                *(action.entities, _entities(action.along), _rows(action.rows), action.cause, reason),
                keys=action.keys,
                until=action.until,
                by=action.by,
                unheld=action.unheld,
                server=server,
                remade=action.remade,
                records=action.records,
                alone=action.alone,
            )
        case form.ApproveForm():
            return to.Approve(server, action.entities, reason)
        case form.MendForm():
            return to.Mend(server, action.entities, reason)
        case form.NoteRequestsForm():
            return to.NoteRequests(action.new, action.withdrawn, reason, action.unheld, server, action.until)
