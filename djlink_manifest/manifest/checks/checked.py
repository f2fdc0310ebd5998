"""A manifest under check, and how what is wrong with it is noted."""

from __future__ import annotations

from dataclasses import dataclass

from djlink_manifest.manifest.models.values import Manifest
from djlink_manifest.manifest.text.nodes import Fields, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest, the tree that it was made from, and the problems found so far."""

    manifest: Manifest
    root: Fields
    problems: Problems

    def error(self, steps: Steps, summary: str, help: str | None = None, *, key: bool = False) -> None:
        """Note an error at the value that the steps lead to, or at its `key`."""
        self.problems.error(summary, spot_of(self.root, steps, key=key), dotted(steps), help)

    def warning(self, steps: Steps, summary: str, help: str | None = None, *, key: bool = False) -> None:
        """Note a warning at the value that the steps lead to, or at its `key`."""
        self.problems.warning(summary, spot_of(self.root, steps, key=key), dotted(steps), help)

    def is_wrong(self, steps: Steps) -> bool:
        """Whether an error was noted there or below, of which others may only be a consequence."""
        return self.problems.any_error_at(dotted(steps))
