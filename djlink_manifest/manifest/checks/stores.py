"""`store_settings`: protocols, what each needs, and secrets that are never literal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djlink_manifest.manifest.checks.checked import Checked
from djlink_manifest.manifest.text import references
from djlink_manifest.manifest.text.nodes import Steps, spot_of
from djlink_manifest.manifest.text.problems import did_you_mean
from djlink_manifest.model.stores.store import SECRETS

_NEEDS = {
    "file": ("location",),
    "s3": ("endpoint", "bucket"),
    "gcs": ("bucket",),
    "azure": ("container",),
}
_ALSO = {
    "file": frozenset({"location"}),
    "s3": frozenset({"endpoint", "bucket", "location", "access_key", "secret_key", "secure"}),
    "gcs": frozenset({"bucket", "location", "token", "project"}),
    "azure": frozenset({"container", "location", "account_name", "account_key", "connection_string"}),
}
_ALWAYS = frozenset({"protocol", "schema_prefix"})


def check_stores(at: Checked) -> None:
    """Note what is wrong with the settings of the sources' stores."""
    for source in at.manifest.sources:
        for store in source.store_settings:
            steps = store.origin.path
            if not store.name.strip():
                at.error(steps, "a store has no name", key=True)
            if not isinstance(store.settings, str):
                _check_settings(dict(store.settings), steps, at)
            elif not store.settings.strip():
                at.error(steps, f"`{store.name}` is empty", key=True)


def is_store_secret(steps: Steps) -> bool:
    """Whether a secret of a store stands at a place."""
    match steps:
        case ("sources", _, "store_settings", _, key):
            return key in SECRETS
    return False


def _check_settings(settings: Mapping[str, Any], steps: Steps, at: Checked) -> None:
    protocol, given = settings["protocol"], settings.keys()
    for key in sorted(given & set(SECRETS)):
        if not references.only_references(settings[key]):
            key_path = (*steps, key)
            at.problems.conceal(spot_of(at.root, key_path))
            help = (
                f"write `{key}: ${{env:NAME}}` and set the variable; if this was committed, change the secret"
            )
            at.error(key_path, f"the manifest contains the value of `{key}`", help, key=True)
    if protocol not in _NEEDS:
        if not at.is_wrong(steps):
            key_path = (*steps, "protocol")
            help = did_you_mean(protocol, _NEEDS) or (
                "supported are file, s3, gcs and azure; configure a store of another protocol in "
                "DataJoint's configuration, and write its name here"
            )
            at.error(key_path, f"unknown `protocol: {protocol}`", help)
        return
    for key in _NEEDS[protocol]:
        if not settings.get(key, "").strip() and not at.is_wrong(steps):
            words = f"a store with protocol {protocol} requires `{key}`"
            at.error(steps, words, key=True)
    for key in sorted(given - _ALSO[protocol] - _ALWAYS):
        key_path = (*steps, key)
        at.error(key_path, f"`{key}` does not apply to protocol {protocol}", key=True)
    if protocol == "s3" and bool(settings.get("access_key")) != bool(settings.get("secret_key")):
        words = (
            "give `access_key` and `secret_key` together; without both, the machine's own identity is used"
        )
        at.error(steps, words, key=True)
