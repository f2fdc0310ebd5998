"""What is wrong with a manifest, collected with its place; a line that may show a secret is masked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from djlink_manifest.errors import Diagnostic, Location, ManifestError
from djlink_manifest.model.next_steps import command

LONGEST_SNIPPET = 1000  # a longer line was not written by hand, and tells a person nothing
MAX_PROBLEMS = 500  # a broken generated file should not scroll for minutes

LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what YAML counts as the end of a line
_SECRET_WORD = re.compile(
    r"pass|pwd|passw|secret|token|credential|api_?key|private|^pw$|[-_]pw$", re.IGNORECASE
)
_KEY = re.compile(r"""([\w-]+)[^\w\s:=,]*\s*[:=]""")
_SECRET_TEXT = re.compile(r"(?:pass|sswrd|sword|secret|token|credential)[\w-]*", re.IGNORECASE)
_REFERENCE = re.compile(r"""\s*["']?(?:\$\{(?:env|file):[^}]*\})+["']?(?=\s*(?:[,}\]#]|$))""")
_LOGIN = re.compile(r"""[^\s"'@/]+:[^\s"'@]+@|(?<=:)//[^"'@]*@""")
_MASK = "***"


@dataclass(frozen=True, slots=True)
class Spot:
    """A stretch of a manifest file; `width` is 1 where it spans several `lines`."""

    location: Location
    width: int = 1
    lines: int = 1


class Problems:
    """The problems found so far. `lines(file)` are kept for the snippets."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._hidden: dict[str, set[int]] = {}
        self._inside_secret: dict[str, set[int]] = {}
        self._concealed: dict[tuple[str, int], int] = {}
        self._withheld: dict[str, str] = {}
        self._found: list[Diagnostic] = []

    def read(self, file: str, text: str) -> None:
        """Keep a file's lines, so that problems in it can show them."""
        self._lines[file] = LINE_END.split(text)
        self._hidden.setdefault(file, set())

    def hide(self, file: str, first: int, last: int) -> None:
        """Never show these lines (from 1, both included): they are part of a secret's value."""
        self._hidden.setdefault(file, set()).update(range(first, last + 1))

    def withhold(self, file: str, real: str) -> None:
        """Show no text and no problem of a file that is really another, `real`: only how many there are.

        A manifest's author may have made it a symbolic link to any file of this machine.
        """
        self._withheld[file] = real

    def conceal(self, spot: Spot) -> None:
        """Never show what stands here, nor the rest of the line: it may be a secret."""
        place = (spot.location.file, spot.location.line)
        self._concealed[place] = min(spot.location.column, self._concealed.get(place, spot.location.column))
        self.hide(spot.location.file, spot.location.line + 1, spot.location.line + spot.lines - 1)

    def error(self, summary: str, spot: Spot, path: str = "", help: str | None = None) -> None:
        """Note a problem that makes the manifest unusable."""
        self._found.append(Diagnostic("error", summary, spot.location, path, help, width=spot.width))

    def warning(self, summary: str, spot: Spot, path: str = "", help: str | None = None) -> None:
        """Note something that works but is probably not meant."""
        self._found.append(Diagnostic("warning", summary, spot.location, path, help, width=spot.width))

    @property
    def any_error(self) -> bool:
        """Whether the manifest is unusable."""
        return any(d.severity == "error" for d in self._found)

    def any_error_at(self, path: str) -> bool:
        """Whether an error was noted at a path or below it, of which others may only be a consequence."""
        return any(d.severity == "error" and _is_below(d.path, path) for d in self._found)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Every problem once, by place, with its line; at one place errors first. At most `MAX_PROBLEMS`.

        Where a file is withheld, the problems of others may quote it too: all are one.
        """
        if self._withheld and self._found:
            return (self._of_withheld(),)
        order = sorted(
            set(self._found), key=lambda d: (d.location, d.severity, d.summary, d.path, d.help or "")
        )
        kept = order
        if len(order) > MAX_PROBLEMS:
            worst = set(sorted(order, key=lambda d: d.severity)[:MAX_PROBLEMS])
            kept = [d for d in order if d in worst]
            rest = f"{len(order) - len(kept)} more problems are not shown"
            kept.append(Diagnostic("warning", rest, kept[-1].location))
        return tuple(self._shown(d) for d in kept)

    def _of_withheld(self) -> Diagnostic:
        (file, real), *_ = self._withheld.items()
        errors = sum(d.severity == "error" for d in self._found)
        count, what = (errors, "error") if errors else (len(self._found), "warning")
        return Diagnostic(
            "error" if errors else "warning",
            f"{count} {what}{'s' if count > 1 else ''} not shown: the file is a symbolic link to elsewhere",
            Location(file, 1, 1),
            help=f"if you trust the link, name the file itself: {command('validate', '-f', real)}",
        )

    def _shown(self, found: Diagnostic) -> Diagnostic:
        """The problem with its line, and without a login that stands in a key."""
        return replace(
            found,
            summary=_without_login(found.summary),
            path=_without_login(found.path),
            snippet=self.snippet(found.location),
        )

    def raise_if_any(self) -> None:
        """Raise a ManifestError where an error was noted."""
        if self.any_error:
            raise ManifestError(self.sorted())

    def snippet(self, location: Location) -> str | None:
        """The line at a place, masked where it may show a secret; None where there is no such line."""
        lines = self._lines.get(location.file)
        if lines is None or not 1 <= location.line <= len(lines):
            return None
        line = lines[location.line - 1]
        if len(line) > LONGEST_SNIPPET:
            return None
        concealed = self._concealed.get((location.file, location.line))
        if concealed is not None:
            line = line[: concealed - 1] + _MASK
        if location.file not in self._inside_secret:
            self._inside_secret[location.file] = _below_secret_keys(lines)
        if (
            location.line in self._hidden[location.file]
            or location.line in self._inside_secret[location.file]
        ):
            return line[: len(line) - len(line.lstrip())] + _MASK
        return masked(line)


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


@lru_cache(maxsize=1024)
def looks_secret(key: str) -> bool:
    """Whether a key is, or is nearly, the name of a secret: `password`, `passwrd`, `api_key`."""
    return bool(_SECRET_WORD.search(key)) or bool(
        difflib.get_close_matches(key.lower(), ["password"], 1, 0.7)
    )


def masked(line: str) -> str:
    """The line without what follows a word that looks like a secret's name, and without logins in URLs.

    References are shown: they are no secrets. More is hidden than need be rather than less.
    """
    start = 0
    while (match := _next_secret(line, start)) is not None:
        start = match.end()
        if reference := _REFERENCE.match(line, start):
            start = reference.end()
            continue
        if line[start:].strip():
            line = f"{line[:start]} {_MASK}"
        break
    return _without_login(line)


def _without_login(text: str) -> str:
    """The text with `user:password@` masked; long ones are cut first, as the search takes their square."""
    return _LOGIN.sub(f"{_MASK}@", text[: 2 * LONGEST_SNIPPET]) if "@" in text else text


def _next_secret(line: str, start: int) -> re.Match[str] | None:
    """The next key that looks like a secret's, with its colon; else the next such word anywhere."""
    keys = [m for m in _KEY.finditer(line, start) if looks_secret(m[1])]
    word = _SECRET_TEXT.search(_without_references(line), start)
    if keys and (word is None or keys[0].start() <= word.start() <= keys[0].end()):
        return keys[0]
    return word


def _without_references(line: str) -> str:
    return re.sub(r"\$\{(?:env|file):[^}]*\}", lambda m: " " * len(m[0]), line)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate spelt most like `name`, differing in more than nothing; None where none is near."""
    others = sorted({c for c in candidates if c != name})
    folded = {c.casefold(): c for c in reversed(others)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    close = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str | None:
    """A help text that names the nearest candidate, else None."""
    near = nearest(name, candidates)
    return f"did you mean `{near}`?" if near is not None else None


def _below_secret_keys(lines: list[str]) -> set[int]:
    """The numbers of the lines that are indented below a key that looks like a secret."""
    inside: set[int] = set()
    secret_indent: int | None = None
    for number, line in enumerate(lines, start=1):
        bare = line.lstrip(" \t")
        if not bare:
            continue
        indent = len(line) - len(bare)
        if secret_indent is not None and indent > secret_indent:
            inside.add(number)
            continue
        key = _KEY.match(bare.lstrip("-\"' "))
        secret_indent = indent if key and looks_secret(key[1]) else None
    return inside
