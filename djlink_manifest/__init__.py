"""djlink: keeps many DataJoint tables linked across database servers from one manifest.

In Python: `LazySchema` and `Link` link single tables; `load`, `plan` and `apply` work with a manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from djlink_manifest.api import (
        Applied,
        Atlas,
        LazySchema,
        Link,
        Pulled,
        Status,
        apply,
        load,
        plan,
    )

__version__ = "0.1.0"
__all__ = [
    "Applied",
    "Atlas",
    "LazySchema",
    "Link",
    "Pulled",
    "Status",
    "__version__",
    "apply",
    "load",
    "plan",
]


def __getattr__(name: str) -> Any:
    """The public names are imported when they are first used: the command line does without them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from djlink_manifest import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
