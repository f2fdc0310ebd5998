"""The manifest files of a command, where its options name none."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_MANIFEST = "djlink.yaml"
FILES_VARIABLE = "DJLINK_FILE"


def chosen_if_any(files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files given, else those of DJLINK_FILE, else `djlink.yaml` of this folder if there is one.

    DJLINK_FILE separates several files as PATH does (`:`).
    """
    named = files or tuple(each for each in os.environ.get(FILES_VARIABLE, "").split(os.pathsep) if each)
    return named or ((DEFAULT_MANIFEST,) if Path(DEFAULT_MANIFEST).exists() else ())
