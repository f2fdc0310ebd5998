"""What is known of stores: DataJoint's own configuration, and settings that the manifest gives."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from djlink_manifest.errors import StoreError
from djlink_manifest.model.stores.store import NoStore, Store, Stores

_CONFIGURATION = "correct DataJoint's configuration (datajoint.json, DJ_STORES)"


def read_stores(given: Mapping[str, Mapping[str, Store | str]]) -> Stores:
    """The stores of DataJoint's configuration as it is now, and those `given` by source and name.

    Raises StoreError where the configuration cannot be read. Imports DataJoint, which takes a second.
    """
    config = _datajoint_config()
    settings: Mapping[str, Any] = config.stores
    configured = {
        name: _checked(config, name) for name, each in settings.items() if name and isinstance(each, Mapping)
    }
    default = settings.get("default")
    return Stores(
        configured,
        default if isinstance(default, str) and default else None,
        {source: {n: _given(source, n, s) for n, s in stores.items()} for source, stores in given.items()},
    )


def _datajoint_config() -> Any:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")  # it warns where it finds no file, which need not be there
        try:
            from datajoint.settings import config
        except ValueError as error:
            raise StoreError(
                f"DataJoint's configuration cannot be read: {error}", hint=_CONFIGURATION
            ) from error
    for warning in told:
        words = str(warning.message)
        if words.startswith("Failed to load config"):
            raise StoreError(f"DataJoint's configuration cannot be read: {words}", hint=_CONFIGURATION)
    return config


def _checked(config: Any, name: str) -> Store | NoStore:
    from datajoint.errors import DataJointError

    try:
        return Store(name, config.get_store_spec(name))
    except DataJointError as error:
        return NoStore(f"the store `{name}` is not set up correctly: {error}", _CONFIGURATION)


def _given(source: str, name: str, store: Store | str) -> Store | NoStore | str:
    from datajoint.errors import DataJointError
    from datajoint.settings import Config

    if isinstance(store, str):
        return store
    config = Config()
    config.stores = {name: {"location": "", **store.settings}}
    try:
        return Store(name, config.get_store_spec(name))
    except DataJointError as error:
        words = str(error).replace(f'config.stores["{name}"]', f"store_settings.{name}")
        return NoStore(f"the store `{name}` of {source} is not set up correctly: {words}", None)
