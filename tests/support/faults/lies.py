"""Lies that a server may tell, as values: each changes one answer, or all from one on."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from tests.support.faults.liar import (
    MORE_RESULTS,
    Answer,
    Cell,
    Ended,
    Line,
    error,
    lenenc,
    retyped,
    row_packet,
    truth,
)
from tests.support.invariants.secrecy import spellings
from tests.support.rig import PASSWORD

CANARY = "/etc/hostname"
FILE_REQUEST = b"\xfb" + CANARY.encode()
DIGITS = b"9" * 5000


@dataclass
class Told:
    """A lie: what is done, from which statement on, to which row and column, with what value.

    The first answer that the lie can be told of is changed; with `goes_on` all further ones are too.
    """

    kind: str
    at: int
    goes_on: bool = False
    row: int = 0
    column: int = 0
    value: Cell = None
    number: int = 0
    told: int = field(default=0, compare=False)

    def __call__(self, line: Line, number: int, statement: str, answer: Answer) -> None:
        """Tell it, or the truth."""
        due = number >= self.at and (self.goes_on or not self.told)
        if not due or not FITS[self.kind](answer):
            return truth(line, number, statement, answer)
        self.told += 1
        return LIES[self.kind](self, line, answer)


Deed = Callable[[Told, Line, Answer], None]


def _say(change: Callable[[Told, Answer], Answer]) -> Deed:
    return lambda told, line, answer: line.say(change(told, answer).packets())


def _cell(told: Told, answer: Answer) -> Answer:
    rows = [list(row) for row in answer.rows]
    row = rows[told.row % len(rows)]
    row[told.column % len(row)] = told.value
    return replace(answer, rows=tuple(map(tuple, rows)))


def _every_cell(told: Told, answer: Answer) -> Answer:
    at = told.column % len(answer.columns)
    rows = tuple((*row[:at], told.value, *row[at + 1 :]) for row in answer.rows)
    return replace(answer, rows=rows)


def _added_row(told: Told, answer: Answer) -> Answer:
    return replace(answer, rows=(*answer.rows, (told.value,) * len(answer.columns)))


def _repeated(told: Told, answer: Answer) -> Answer:
    return replace(answer, rows=answer.rows * (2 + told.number % 3))


def _left_out(told: Told, answer: Answer) -> Answer:
    at = told.row % len(answer.rows)
    return replace(answer, rows=(*answer.rows[:at], *answer.rows[at + 1 :]))


def _fewer_columns(told: Told, answer: Answer) -> Answer:
    keep = told.column % len(answer.columns) + (len(answer.columns) == 1)
    return Answer(answer.columns[:keep], tuple(row[:keep] for row in answer.rows), end=answer.end)


def _more_columns(told: Told, answer: Answer) -> Answer:
    rows = tuple((*row, told.value) for row in answer.rows)
    return Answer((*answer.columns, answer.columns[-1]), rows, end=answer.end)


def _short_row(told: Told, answer: Answer) -> Answer:
    return replace(answer, rows=(*answer.rows[:-1], answer.rows[-1][:-1]))


def _long_row(told: Told, answer: Answer) -> Answer:
    return replace(answer, rows=(*answer.rows[:-1], (*answer.rows[-1], told.value)))


def _retyped(told: Told, answer: Answer) -> Answer:
    at, codes = told.column % len(answer.columns), (*range(18), 242, *range(245, 256))
    charset = (63, 45, 255, 8, 0, 999)[told.row % 6]
    column = retyped(answer.columns[at], codes[told.number % len(codes)], charset)
    return replace(answer, columns=(*answer.columns[:at], column, *answer.columns[at + 1 :]))


def _renamed(told: Told, answer: Answer) -> Answer:
    at = told.column % len(answer.columns)
    return replace(
        answer, columns=(*answer.columns[:at], (told.value or b"")[:300], *answer.columns[at + 1 :])
    )


def _error_at_the_end(told: Told, answer: Answer) -> Answer:
    return replace(answer, end=error(told.number, told.value or b"").packets()[0])


def _ok_instead(told: Told, line: Line, answer: Answer) -> None:
    line.say([b"\x00" + lenenc(told.number << 40) * 2 + b"\x02\x00\x00\x00" + (told.value or b"")])


def _rows_instead(told: Told, line: Line, answer: Answer) -> None:
    column = b"\x03def" + b"\0" * 3 + b"\x01a\0\x0c" + struct.pack("<HIBHBH", 45, 99, 0xFD, 0, 0, 0)
    line.say(Answer((column,), ((told.value,),)).packets())


def _error_instead(told: Told, line: Line, answer: Answer) -> None:
    line.say(error(told.number, told.value or b"").packets())


def _more_results(told: Told, line: Line, answer: Answer) -> None:
    end = b"\xfe\x00\x00" + struct.pack("<H", MORE_RESULTS | 2)
    found = replace(answer, end=end) if answer.alone is None else answer
    packets = found.packets()
    if answer.alone is not None:
        packets = [b"\x00\x00\x00" + struct.pack("<H", MORE_RESULTS | 2) + b"\x00\x00"]
    while True:
        line.say(packets)


def _without_end(told: Told, line: Line, answer: Answer) -> None:
    packets = answer.packets()
    line.say(packets[:-1])
    row = answer.rows[0] if answer.rows else (told.value,) * len(answer.columns)
    body = row_packet([cell[:2000] if cell else cell for cell in row])
    while True:
        line.say([body] * 200)


def _endless_packet(told: Told, line: Line, answer: Answer) -> None:
    piece = bytes(1 << 16)
    while True:
        line.raw(b"\xff\xff\xff" + bytes([line.sequence]))
        line.sequence = (line.sequence + 1) & 0xFF
        for _ in range(255):
            line.raw(piece)
        line.raw(piece[:-1])


def _dripping(told: Told, line: Line, answer: Answer) -> None:
    line.raw(b"\xff\xff\xff" + bytes([line.sequence]))
    while True:
        line.raw(b"a")
        threading.Event().wait(0.05)


def _silence(told: Told, line: Line, answer: Answer) -> None:
    line.silence()


def _silence_within(told: Told, line: Line, answer: Answer) -> None:
    data = b"".join(line.framed(each) for each in answer.packets())
    line.raw(data[: max(1, len(data) * (told.number % 10) // 10)])
    line.silence()


def _cut(told: Told, line: Line, answer: Answer) -> None:
    data = b"".join(line.framed(each) for each in answer.packets())
    line.raw(data[: max(1, len(data) * (told.number % 10) // 10)])
    raise Ended


def _out_of_order(told: Told, line: Line, answer: Answer) -> None:
    line.sequence += 1 + told.number % 7
    line.say(answer.packets())


def _wrong_length(told: Told, line: Line, answer: Answer) -> None:
    data = bytearray(b"".join(line.framed(each) for each in answer.packets()))
    data[0] ^= 1 << (told.number % 8)
    line.raw(bytes(data))
    line.silence()


def _huge_number(told: Told, line: Line, answer: Answer) -> None:
    """A count of columns, or a value's length, of exabytes."""
    packets = answer.packets()
    at = -2 if answer.rows and told.number % 2 else 0
    packets[at] = b"\xfe" + struct.pack("<Q", (1 << 63) - 1 - told.number) + packets[at][1:]
    line.say(packets)


def _noise(told: Told, line: Line, answer: Answer) -> None:
    line.raw((told.value or os.urandom(3)) * (1 + told.number % 50))
    raise Ended


def _noise_packet(told: Told, line: Line, answer: Answer) -> None:
    packets = answer.packets()
    packets[told.row % len(packets)] = (told.value or b"")[:5000]
    line.say(packets)


def _file(told: Told, line: Line, answer: Answer) -> None:
    line.say([FILE_REQUEST])
    while True:
        heard = line.hear()
        if not heard:
            line.say([b"\x00\x00\x00\x02\x00\x00\x00"])
            return
        line.asked_for_file.append(heard)


LIES: dict[str, Deed] = {
    "a cell": _say(_cell),
    "a column": _say(_every_cell),
    "a row more": _say(_added_row),
    "rows twice": _say(_repeated),
    "a row less": _say(_left_out),
    "no rows": _say(lambda told, answer: replace(answer, rows=())),
    "fewer columns": _say(_fewer_columns),
    "more columns": _say(_more_columns),
    "a short row": _say(_short_row),
    "a long row": _say(_long_row),
    "another type": _say(_retyped),
    "another column": _say(_renamed),
    "an error at the end": _say(_error_at_the_end),
    "an OK": _ok_instead,
    "rows": _rows_instead,
    "an error": _error_instead,
    "more results": _more_results,
    "rows without end": _without_end,
    "a packet without end": _endless_packet,
    "a drip": _dripping,
    "silence": _silence,
    "silence within": _silence_within,
    "an end": _cut,
    "disorder": _out_of_order,
    "a wrong length": _wrong_length,
    "a huge number": _huge_number,
    "noise": _noise,
    "a packet of noise": _noise_packet,
    "a file": _file,
}
_HAS_ROWS = frozenset(
    {"a cell", "a column", "rows twice", "a row less", "no rows", "a short row", "a long row"}
)
_HAS_COLUMNS = frozenset(
    {"a row more", "fewer columns", "more columns", "another type", "another column"}
    | {"an error at the end", "rows without end", "a huge number"}
)
SLOW = frozenset({"silence", "silence within", "a drip", "a wrong length"})


def _fits(kind: str) -> Callable[[Answer], bool]:
    if kind in _HAS_ROWS:
        return lambda answer: bool(answer.rows)
    if kind in _HAS_COLUMNS:
        return lambda answer: bool(answer.columns)
    if kind == "rows":
        return lambda answer: answer.alone is not None
    return lambda answer: True


FITS = {kind: _fits(kind) for kind in LIES}


def _texts() -> Iterator[bytes]:
    yield from (each.encode() for each in sorted(spellings(PASSWORD)))
    yield f"Access denied for user 'link' (using password: {PASSWORD})".encode()
    yield b"x" * 495 + PASSWORD.encode()
    yield b"x" * 1_000_000
    yield from (
        b"\x1b[2J\x1b]0;title\x07[bold red]markup[/] :boom:\r\n\ttwo\nlines",
        b"\xe2\x80\xaeright to left",
        b"Duplicate entry 'Smith, John' for key 't.PRIMARY'",
        b"%s %(name)d {} {0.__class__} $(id) `id`",
        b"<script>alert(1)</script>",
        b"\xff\xfe\x80 no text",
    )


TEXTS = tuple(_texts())
VALUES: tuple[Cell, ...] = (
    *(None, b"", b"0", b"1", b"-1", b"2", b"YES", b"NO", b"ON"),
    *(b"18446744073709551616", b"99999999999999999999999999", b"1e400", b"nan", b"0x10", b"1.5", DIGITS),
    *(b"0000-00-00", b"9999-99-99 99:99:99", b"2026-13-45", b"-838:59:59.999999"),
    *(b"[]", b"{}", b"null", b"[" * 100_000, b'{"a":' * 2000, b'{"t": ["x"]}', b'"\\ud800"', b"[1,2]"),
    *(b"../../etc/passwd", b"x" * 65, b"`; DROP TABLE t; -- ", b"a\0b", b"s", b"t", b"PRIMARY"),
    *(b"BASE TABLE", b"VIEW", b"enum('a','b') , x int", b"varchar(99999999999)", b"int", b"json_valid(`x`)"),
    *(
        b"GRANT ALL PRIVILEGES ON *.* TO `x`@`%`",
        b"GRANT" + b" ON" * 50_000,
        b"9.7.0",
        b"5.0.1",
        b"11.4.2-MariaDB",
    ),
    *(b"enum(" + b"'a'," * 100_000 + b"'b')", b"(" * 50_000, b"'" * 99_999),
    *TEXTS,
)
NUMBERS = st.one_of(
    st.sampled_from(
        (
            0,
            1045,
            1044,
            1142,
            1146,
            1049,
            1054,
            1062,
            1064,
            1205,
            1213,
            1292,
            1366,
            1452,
            2006,
            2013,
            3024,
            65535,
        )
    ),
    st.integers(0, 65535),
)


def lies(at: st.SearchStrategy[int]) -> st.SearchStrategy[Told]:
    """Lies that begin at a statement; slow ones are rarer."""
    quick = [kind for kind in LIES if kind not in SLOW]
    often = ["a cell", "a column", "a row more", "an error", "another type"]
    kinds = st.sampled_from([*quick, *often * 3, *SLOW])
    values = st.one_of(
        st.sampled_from(VALUES),
        st.binary(max_size=30),
        st.integers(-(1 << 70), 1 << 70).map(lambda n: b"%d" % n),
    )
    return st.builds(
        Told,
        kinds,
        at,
        st.booleans(),
        st.integers(0, 40),
        st.integers(0, 14),
        values,
        NUMBERS,
    )
