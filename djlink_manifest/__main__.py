"""`python -m djlink_manifest` is `djlink`."""

from __future__ import annotations

from djlink_manifest.cli import main

if __name__ == "__main__":
    main()
