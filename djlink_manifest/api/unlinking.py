"""Taking a decorated link out: on the same core as a manifest's `removed`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from djlink_manifest.api.homes import Home
from djlink_manifest.api.manifests import BoundManifest
from djlink_manifest.api.runs import applied, refused
from djlink_manifest.errors import UnlinkFailed, Unreachable, UsageError
from djlink_manifest.model.counting import counted
from djlink_manifest.model.links.selection import Condition
from djlink_manifest.reconcile.pipeline import open_job
from djlink_manifest.reconcile.plan.removals import Removal


def unlink(home: Home, table: Literal["keep", "drop"], prompt: bool | None) -> bool:
    """Take the link out; whether that was agreed to.

    Raises LinkRefused and LinkLocked with nothing done, UnlinkFailed.
    """
    bound = home.taken_out(table)
    with open_job(bound.manifest, bound.environ) as job:
        for facts in job.servers:
            if facts.problem:
                raise Unreachable(facts.problem, server=facts.name, link=home.address, hint=facts.hint)
        plan = job.plan()
        removals = [each for each in plan.removals if each.address == home.address]
        if not removals:
            raise refused(home, "it has no tables at the source", "it is already removed")
        if removals[0].blocked:
            first = removals[0].blocked[0]
            raise refused(home, first.reason, first.hint)
        if not _agreed(removals[0], prompt):
            return False
        report = applied(job, replace(plan, links=(), removals=tuple(removals)), lambda event: None)
    for outcome in report.outcomes:
        if outcome.status != "done":
            raise UnlinkFailed(
                f"{home.address} could not be removed: {outcome.problem}",
                link=home.address,
                hint=home.worded(outcome.hint) or "call unlink again to continue",
            )
    return True


def _agreed(removal: Removal, prompt: bool | None) -> bool:
    """Whether the person agrees, asked in DataJoint's way."""
    import datajoint as dj
    from datajoint.utils import user_choice

    local_name = f"{removal.local_schema}.{removal.local_table}"
    what = (
        f"drop {local_name} with its rows"
        if removal.table == "drop"
        else f"keep {local_name} as a table of your own"
    )
    words = f"Release {counted(removal.held, 'entity', 'entities')} at the source, and {what}?"
    prompts = dj.config["safemode"] if prompt is None else prompt
    return not prompts or user_choice(words, default="no") == "yes"


@dataclass(slots=True)
class TakenOut:
    """The home of a class whose link was taken out: nothing is asked of the source any more."""

    name: str
    address: str
    along: bool = field(default=False, init=False)

    @property
    def connection(self) -> Any:
        """Refused, as all that needs the link."""
        raise self._refused()

    def source_connection(self) -> Any:
        """Refused."""
        raise self._refused()

    def pulling(self, where: Condition | None) -> BoundManifest:
        """Refused."""
        raise self._refused()

    def letting_go(self) -> BoundManifest:
        """Refused."""
        raise self._refused()

    def taken_out(self, table: Literal["keep", "drop"]) -> BoundManifest:
        """Refused."""
        raise self._refused()

    def worded(self, hint: str | None) -> str | None:
        """As it is."""
        return hint

    def _refused(self) -> UsageError:
        return UsageError(
            f"{self.address} was removed",
            hint="decorate the class again to link it again; a kept table is now your own: use it through "
            "a class of your own",
        )
