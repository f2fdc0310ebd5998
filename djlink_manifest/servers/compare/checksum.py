"""Sets of keys and rows as digests that the servers compute, equal across vendors.

The digest of a set is its count and the XOR of the SHA-256 of each member's canonical text, with a salt of
this process. Members of a set are different, so nothing cancels out but by chance: two different sets of
equal size have equal digests with a probability of 2^-256 between two MySQL servers, and of 2^-64 where one
is a MariaDB, which takes XOR of whole numbers only. CRC32 alone would not do: it is linear, and a grid of
keys cancels out. The salt makes each process draw anew, and leaves nothing to choose for who makes keys.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from djlink_manifest.model.stores.external import external_of
from djlink_manifest.model.tables.definition import Column
from djlink_manifest.servers.keys.predicates import _EXACT
from djlink_manifest.servers.query.json_values import same_object
from djlink_manifest.servers.query.rows import is_binary
from djlink_manifest.servers.session.checked_values import a_count, anything, as_text
from djlink_manifest.servers.session.errors import understood
from djlink_manifest.servers.session.session import Session
from djlink_manifest.servers.sql import Sql, column, comma, ident, joined, sql

KEYS_A_BUCKET = 64  # some: a bucket costs bytes over the wire, and so does each key of one that differs
SALT = secrets.token_urlsafe(6)

_JOINED_AS_THEY_ARE = _EXACT | {"date"}


@dataclass(frozen=True, slots=True)
class SetDigest:
    """The digest of a set of keys; equal sets have equal digests. `bits` is how many `total` has."""

    count: int
    total: int
    bits: int = 64

    def same(self, other: SetDigest) -> bool:
        """Whether both are of the same set, by the bits that both have."""
        return self.count == other.count and (self ^ other).total == 0

    def __xor__(self, other: SetDigest) -> SetDigest:
        """The digest of what only one of two sets has; counted as if they shared nothing."""
        bits = min(self.bits, other.bits)
        total = (self.total >> (self.bits - bits)) ^ (other.total >> (other.bits - bits))
        return SetDigest(self.count + other.count, total, bits)


def digested(session: Session, key: Sequence[Column]) -> Sql:
    """Count and digest of a table's keys as two columns of a select list, for `set_digest_of`."""
    return sql("COUNT(*), {}", sql(session.dialect.DIGEST, _salted(key)))


def set_digest_of(session: Session, count: object, total: object) -> SetDigest:
    """The digest from the two columns."""
    bits = session.dialect.DIGEST_BITS
    with understood(session.name):
        number = a_count(count)
        return SetDigest(number, int(as_text(total, "a digest", bits // 4), 16) if number else 0, bits)


def set_digest(session: Session, of: Sql, key: Sequence[Column]) -> SetDigest:
    """The digest of a table's keys."""
    count, total = session.row(sql("SELECT {} FROM {}", digested(session, key), of), a_count, anything)
    return set_digest_of(session, count, total)


def check(key: Sequence[Column]) -> Sql:
    """The XOR of 32 bits of each key's hash, for a group of keys."""
    return sql("BIT_XOR(CRC32(SHA2({}, 256)))", _salted(key))


def bucket(key: Sequence[Column], buckets: int) -> Sql:
    """The number of a key's hash bucket: equal where keys are, which is all that it need be."""
    return sql("CRC32(CONCAT({}, {})) % {}", SALT, comma([_loose(each) for each in key]), buckets)


def bucket_count(entities: int, most: int) -> int:
    """How many hash buckets so many entities are compared in."""
    return min(most, max(16, 1 << (entities // KEYS_A_BUCKET).bit_length()))


def canonical(of: Sequence[Column], alias: str | None = None, *, short: bool = False) -> Sql:
    """Text that is equal on two servers exactly where the values are.

    Text and bytes are written in hex, NULL as `~`, so no separator can occur inside. `short` writes long
    values as their SHA-256 instead.
    """
    parts = []
    for each in of:
        name = column(alias, each.name) if alias else ident(each.name)
        parts.append(sql("COALESCE({}, '~')", _canonical(each, name, short)))
    return sql("CONCAT_WS('|', {})", comma(parts))


def byte_for_byte(source_columns: Sequence[Column], local_columns: Sequence[Column]) -> tuple[Column, ...]:
    """The source's columns as `canonical` compares rows: text by its bytes where both have one character set.

    Several values of some character sets are one in UTF-8, and some have none there.
    """
    return tuple(
        replace(a, type="longblob", charset=None, collation=None)
        if a.is_text and a.charset == b.charset
        else a
        for a, b in zip(source_columns, local_columns, strict=True)
    )


def digest_of_keys(texts: Iterable[bytes | None]) -> tuple[str, int]:
    """The digest by which an approval names keys, of their canonical texts in the order of their bytes.

    And their number. It depends neither on the order in which a server keeps rows, nor on the vendor.
    """
    found, count = hashlib.sha256(), 0
    for text in texts:
        found.update((text or b"") + b"\n")
        count += 1
    return f"sha256:{found.hexdigest()}", count


def _salted(key: Sequence[Column]) -> Sql:
    """The bytes of a key whose hash counts; its columns are never NULL.

    As canonical text, but in fewer steps: a server takes as long to convert what it joins, from one character
    set to another, as for the hash.
    """
    parts = [sql("{}", SALT)]
    for each in key:
        name = ident(each.name)
        if each.base_type in _JOINED_AS_THEY_ARE:
            parts.append(name)
        elif each.is_text or is_binary(each):
            parts.append(sql("CAST({} AS BINARY)", _canonical(each, name, False)))
        else:
            parts.append(_canonical(each, name, False))
    return sql("CONCAT({})", joined(", '|', ", parts))


def _loose(of: Column) -> Sql:
    """A value in fewer steps than its canonical text: others may have the same."""
    name = ident(of.name)
    if of.is_text:
        return sql("CONVERT({} USING utf8mb4)", name)
    return name if of.base_type in _JOINED_AS_THEY_ARE else _canonical(of, name, False)


def _canonical(column: Column, name: Sql, short: bool) -> Sql:
    if column.is_text:
        text = sql("CONVERT({} USING utf8mb4)", name)
        return sql("SHA2({}, 256)", text) if short else sql("HEX({})", text)
    if is_binary(column):
        if column.base_type == "bit":
            return sql("HEX({} + 0)", name)
        return sql("SHA2({}, 256)", name) if short else sql("HEX({})", name)
    if column.base_type in {"float", "double"}:
        return _exact_number(name)
    text = same_object(name) if external_of(column) else sql("CAST({} AS CHAR)", name)
    return sql("SHA2({}, 256)", text) if short and column.base_type == "json" else text


def _exact_number(name: Sql) -> Sql:
    """A FLOAT or DOUBLE as its power of two and its bits, which each server computes exactly.

    Their own texts differ between vendors, and MySQL's CAST leaves out digits. The exponent changes at
    2^0.7, near no number that people write, so that no server's rounding of the logarithm matters. The power
    is divided off in two steps, for it may be out of range itself.
    """
    exact = sql("({} + 0e0)", name)
    power = sql("FLOOR(LOG2(ABS({})) + 0.3e0)", exact)
    half = sql("FLOOR({} / 2)", power)
    bits = sql("{} / POW(2, {}) / POW(2, {} - {}) * 9007199254740992e0", exact, half, power, half)
    text = sql("CONCAT(CAST({} AS SIGNED), 'e', CAST({} AS SIGNED))", power, bits)
    return sql("CASE WHEN {} = 0 THEN '0' ELSE {} END", name, text)


def sixty_bits(text: Sql) -> Sql:
    """A number of 60 bits of a text's SHA-256, with this process's salt: nobody can aim at a sum of it."""
    salted = sql("CONCAT({}, {})", SALT, text)
    return sql("CAST(CONV(LEFT(SHA2({}, 256), 15), 16, 10) AS UNSIGNED)", salted)
