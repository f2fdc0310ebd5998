"""`store_settings`: protocols, what each needs, and secrets that are never literal."""

from __future__ import annotations

from djlink_manifest.manifest.models.schema_models import ManifestModel, StoreModel
from djlink_manifest.manifest.text import references
from djlink_manifest.manifest.text.nodes import Fields, Steps, dotted, spot_of
from djlink_manifest.manifest.text.problems import Problems, did_you_mean
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


def check_stores(whole: ManifestModel, root: Fields, problems: Problems) -> None:
    """Note what is wrong with the settings of the sources' stores."""
    for name, source in whole.sources.items():
        for store, settings in source.store_settings.items():
            steps: Steps = ("sources", name, "store_settings", store)
            if not store.strip():
                problems.error("a store has no name", spot_of(root, steps, key=True), dotted(steps))
            if isinstance(settings, StoreModel):
                _check_settings(settings, steps, root, problems)
            elif not settings.strip():
                problems.error(f"`{store}` is empty", spot_of(root, steps, key=True), dotted(steps))


def is_store_secret(steps: Steps) -> bool:
    """Whether a secret of a store stands at a place."""
    match steps:
        case ("sources", _, "store_settings", _, key):
            return key in SECRETS
    return False


def _check_settings(settings: StoreModel, steps: Steps, root: Fields, problems: Problems) -> None:
    protocol, given = settings.protocol, settings.model_fields_set
    for key in sorted(given & set(SECRETS)):
        if not references.only_references(getattr(settings, key)):
            here = (*steps, key)
            problems.conceal(spot_of(root, here))
            help = (
                f"write `{key}: ${{env:NAME}}` and set the variable; if this was committed, change the "
                "password"
            )
            problems.error(
                f"the manifest contains the value of `{key}`",
                spot_of(root, here, key=True),
                dotted(here),
                help,
            )
    if protocol not in _NEEDS:
        if not problems.any_error_at(dotted(steps)):
            here = (*steps, "protocol")
            help = did_you_mean(protocol, _NEEDS) or (
                "supported are file, s3, gcs and azure; configure a store of another protocol in "
                "DataJoint's configuration, and write its name here"
            )
            problems.error(f"unknown `protocol: {protocol}`", spot_of(root, here), dotted(here), help)
        return
    for key in _NEEDS[protocol]:
        if not getattr(settings, key).strip() and not problems.any_error_at(dotted(steps)):
            words = f"a store with protocol {protocol} requires `{key}`"
            problems.error(words, spot_of(root, steps, key=True), dotted(steps))
    for key in sorted(given - _ALSO[protocol] - _ALWAYS):
        here = (*steps, key)
        problems.error(
            f"`{key}` does not apply to protocol {protocol}", spot_of(root, here, key=True), dotted(here)
        )
    if protocol == "s3" and bool(settings.access_key) != bool(settings.secret_key):
        words = (
            "give `access_key` and `secret_key` together; without both, the machine's own identity is used"
        )
        problems.error(words, spot_of(root, steps, key=True), dotted(steps))
