"""What is known of stores: DataJoint's own configuration, and settings that the manifest gives."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

from djlink_manifest.errors import StoreError
from djlink_manifest.model.stores.store import NoStore, Store, Stores

_CONFIGURATION = "correct DataJoint's configuration (datajoint.json, DJ_STORES)"
_ENVIRONMENT = "correct DJ_STORES; with a trust file, datajoint.json and .secrets are not read"
_IGNORE_FILES = "DJ_IGNORE_CONFIG_FILE"


def read_stores(given: Mapping[str, Mapping[str, Store | str]], *, from_files: bool = True) -> Stores:
    """The stores of DataJoint's configuration as it is now, and those `given` by source and name.

    Without `from_files` the configuration is that of the environment alone (`DJ_STORES`): DataJoint looks for
    `datajoint.json` and `.secrets` in the current folder, which may be a checkout of somebody else's branch.
    Raises StoreError where the configuration cannot be read. Imports DataJoint, which takes a second.
    """
    config = _datajoint_config() if from_files else _environment_config()
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


def _environment_config() -> Any:
    """DataJoint's configuration without its files, even where it has read them before."""
    ignored = os.environ.get(_IGNORE_FILES)
    os.environ[_IGNORE_FILES] = "true"  # of its first import, which reads them otherwise
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from datajoint.settings import Config
        config = Config()
    except ValueError as error:
        raise StoreError(f"DataJoint's configuration cannot be read: {error}", hint=_ENVIRONMENT) from error
    finally:
        if ignored is None:
            del os.environ[_IGNORE_FILES]
        else:
            os.environ[_IGNORE_FILES] = ignored
    try:
        stores = json.loads(os.environ.get("DJ_STORES") or "{}")
    except ValueError:  # its text may hold keys
        stores = None
    if not isinstance(stores, dict):
        raise StoreError("DJ_STORES is not a JSON object", hint=_ENVIRONMENT)
    config.stores = stores
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
