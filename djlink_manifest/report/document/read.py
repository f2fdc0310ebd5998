"""Read a plan's document from text that nobody vouches for."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from djlink_manifest.errors import UsageError
from djlink_manifest.model.next_steps import command
from djlink_manifest.report.document.form import PlanDocument, SummaryForm
from djlink_manifest.report.document.restore import plan_of
from djlink_manifest.report.plan.json_form import PLAN_VERSION, checksum
from djlink_manifest.report.plan.totals import of_plan

OLDEST = 1
_SUMS_OF_VERSION_2 = dict.fromkeys(
    ("unavailable", "refused", "remove", "remove_blocked", "forgotten", "forgotten_rows", "delete_rows"), 0
)
ANOTHER = "name a file that `djlink plan --out FILE` wrote"
_SIGN = b'"djlink plan"'  # in each plan, whole or damaged, and in nothing that should not be removed


def parse(content: bytes, name: str) -> PlanDocument:
    """Return the document in a file of this name; one of an earlier version in the present form.

    Raises UsageError where the content is no plan, or one that was damaged or edited.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{name} is not UTF-8 text (byte {error.start})", hint=_remedy(content, name)
        ) from None
    value = _json(text, name)
    if not isinstance(value, dict) or not _is_plan(value):
        raise UsageError(f"{name} is not a plan of djlink", hint=ANOTHER)
    version = value["format_version"]
    if not OLDEST <= version <= PLAN_VERSION:
        raise UsageError(
            f"{name} has version {version} of the plan's format; this djlink reads {OLDEST} to "
            f"{PLAN_VERSION}",
            hint=f"use the version of djlink that wrote it; or {anew(name)}",
        )
    if version == 1:
        value = _from_version_1(value, name)
        text = json.dumps(value)
    try:
        document = PlanDocument.model_validate_json(text)
    except ValidationError as error:
        raise _damaged(error, name) from None
    if version == 1:
        sums = asdict(of_plan(plan_of(document)))
        return document.model_copy(update={"summary": SummaryForm.model_validate(sums)})
    if value["checksum"] != checksum(value):
        raise UsageError(f"{name} was damaged or edited: its checksum is another", hint=anew(name))
    _check_sums(document, name)
    return document


def anew(name: str) -> str:
    """Return the next step for a plan's file that is of no use: `plan --out` replaces only sound plans."""
    return f"remove {name}, then run {command('plan', '--out', name)}"


def _remedy(content: bytes, name: str) -> str:
    """Return the next step for what cannot be read: only what was a plan is to be removed."""
    return anew(name) if _SIGN in content else ANOTHER


def _check_sums(document: PlanDocument, name: str) -> None:
    """Raise UsageError where what the document says of itself is not what follows from its links."""
    plan = plan_of(document)
    sums = document.summary.model_dump(by_alias=True)
    said = (document.has_changes, document.has_errors, sums)
    if said != (plan.has_changes, plan.has_errors, asdict(of_plan(plan))):
        raise UsageError(
            f"{name} was damaged or edited: its sums are not those of its links", hint=anew(name)
        )


def _is_plan(value: dict[str, Any]) -> bool:
    version = value.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        return False
    if version == 1:  # which other documents have, too
        return {"manifest", "local", "sources", "summary", "links", "removals"} <= value.keys()
    return value.get("document") == "djlink plan"


def _json(text: str, name: str) -> Any:
    remedy = _remedy(text.encode(), name)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise UsageError(f"{name} is nested too deeply to be a plan", hint=remedy) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{name} is not valid JSON ({where}): {error.msg}", hint=remedy) from None
    except ValueError as error:  # ours, and numbers with too many digits
        words = str(error) if isinstance(error, _Unclear) else "a number has too many digits"
        raise UsageError(f"{name} is not a plan of djlink: {words}", hint=remedy) from None


class _Unclear(ValueError):
    """JSON that readers understand in more than one way."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Unclear("a key is there twice")
    return found


def _no_number(text: str) -> Any:
    raise _Unclear(f"{text} is no number")


def _damaged(error: ValidationError, name: str) -> UsageError:
    """Words for the first thing that is not as it should be; nothing of the file's values is in them."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    first = found[0]
    place = ".".join(str(each) for each in first["loc"] if not str(each).startswith("function"))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    words = f"{name} was damaged or edited: {place or 'the document'}: {first['msg'].lower()}{more}"
    return UsageError(words, hint=anew(name))


def _from_version_1(value: dict[str, Any], name: str) -> dict[str, Any]:
    """The document of version 1 in the present form: what it did not say is empty."""
    try:
        links, removals = value["links"], value["removals"]
        return {
            **value,
            "format_version": PLAN_VERSION,
            "document": "djlink plan",
            "djlink": "",
            "terms": None,
            "against": None,
            "checksum": "",
            "local": {**value["local"], "identity": ""},
            "sources": [{**server, "identity": ""} for server in value["sources"]],
            "summary": {**_SUMS_OF_VERSION_2, **value["summary"]},
            "links": [_link_from_version_1(link) for link in links],
            "forgotten": [
                {"address": "", "location": None, "hint": "", **each} for each in value["forgotten"]
            ],
            "removals": [
                {
                    **removal,
                    "local_schema": removal["local_table"].partition(".")[0],
                    "blocked": _blocked_from_version_1(removal["blocked"]),
                    "drop_keys": [],
                    "bound": None,
                }
                for removal in removals
            ],
        }
    except (TypeError, KeyError, AttributeError):
        raise UsageError(f"{name} was damaged or edited", hint=anew(name)) from None


def _link_from_version_1(link: dict[str, Any]) -> dict[str, Any]:
    requests = link["requests"]
    if requests is not None:
        found = requests["waiting"]
        requests = {
            **requests,
            "now": None,
            "granted": _closure_from_version_1(requests["granted"]),
            "waiting": _closure_from_version_1(found) if found is not None else None,
        }
    actions = [{**action, "bound": []} for action in link["actions"]]
    return {
        **link,
        "actions": actions,
        "blocked": _blocked_from_version_1(link["blocked"]),
        "requests": requests,
        "definitions": None,
    }


def _blocked_from_version_1(blocked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"root": None, **each} for each in blocked]


def _closure_from_version_1(closure: dict[str, Any]) -> dict[str, Any]:
    return {**closure, "going": closure["along"]}
