"""The question before something is changed."""

from __future__ import annotations

import sys


def confirmed(question: str) -> bool:
    """Return whether the person at the terminal types exactly `yes`."""
    sys.stderr.write(f"\n{question} Type yes to confirm: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip() == "yes"
