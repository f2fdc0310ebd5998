"""Which rule of a schema is a table's."""

from __future__ import annotations

from djlink_manifest.errors import Diagnostic, ManifestError
from djlink_manifest.manifest.models.names import matches, weight
from djlink_manifest.manifest.models.values import SchemaSpec, TableRule


class EquallyClose(ManifestError):
    """Two rules of a schema are equally close to one of the source's tables: `rules`, as they stand."""

    def __init__(self, schema: SchemaSpec, table: str, first: TableRule, second: TableRule) -> None:
        self.rules = (first, second)
        super().__init__(
            (
                Diagnostic(
                    severity="error",
                    summary=f"`{second.pattern}` and `{first.pattern}` match `{schema.name}.{table}` and "
                    "are equally specific",
                    location=second.location,
                    path=f"schemas.{schema.name}.tables.{second.pattern}",
                    help=f"`{first.pattern}` is at {first.location}; name the table, or make one glob more "
                    "specific",
                    width=len(second.pattern),
                ),
            )
        )


def rule_for(schema: SchemaSpec, table: str, class_name: str) -> TableRule | None:
    """The rule for a table of the source, None where it is not linked.

    `table` is its name on the server, `class_name` its class. A rule that names it wins; else, unless
    `exclude` matches, the glob with the most literal characters. Raises EquallyClose where two globs have
    equally many.
    """
    names = (table, class_name)
    exact = [rule for rule in schema.rules if not rule.is_glob and rule.pattern in names]
    if exact:
        return exact[0] if len(exact) == 1 else _undecided(schema, table, exact)
    if is_excluded(schema, table, class_name):
        return None
    globs = [rule for rule in schema.rules if rule.is_glob and _matches(rule.pattern, names)]
    if not globs:
        return None
    most = max(weight(rule.pattern) for rule in globs)
    best = [rule for rule in globs if weight(rule.pattern) == most]
    return best[0] if len(best) == 1 else _undecided(schema, table, best)


def is_excluded(schema: SchemaSpec, table: str, class_name: str) -> bool:
    """Whether `exclude` names the table or matches it."""
    return any(_matches(pattern, (table, class_name)) for pattern in schema.exclude)


def _matches(pattern: str, names: tuple[str, ...]) -> bool:
    return any(matches(pattern, name) for name in names)


def _undecided(schema: SchemaSpec, table: str, rules: list[TableRule]) -> TableRule:
    first, second = sorted(rules, key=lambda rule: rule.location)[:2]
    raise EquallyClose(schema, table, first, second)
