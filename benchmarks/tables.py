"""The data that is measured on, made with SQL at the source."""

from __future__ import annotations

from benchmarks.ground import Ground

NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"


def narrow(catalogs: Ground, rows: int, name: str = "narrow") -> None:
    """Rows of some 60 bytes with a composite key of a text, a date and a number."""
    catalogs.fill(
        f"CREATE TABLE {name} (subject varchar(16), day date, number smallint, rate float, note varchar(40),"
        " PRIMARY KEY (subject, day, number)) CHARSET=utf8mb4",
        f"INSERT INTO {name} {NUMBERS.format(rows)} SELECT CONCAT('subject', i % 500),"
        " DATE('2015-01-01') + INTERVAL (i DIV 500) % 2000 DAY, i DIV 1000000, i / 7,"
        " CONCAT('a note of row ', i) FROM n",
        f"ANALYZE TABLE {name}",
    )


def wide(catalogs: Ground, rows: int) -> None:
    """Rows of a megabyte of bytes that nothing compresses."""
    catalogs.fill("CREATE TABLE wide (id int PRIMARY KEY, data longblob)")
    for first in range(1, rows + 1, 50):
        last = min(first + 49, rows)
        parts = ", ".join(["RANDOM_BYTES(1024)"] * 64)
        catalogs.fill(
            f"INSERT INTO wide {NUMBERS.format(last)}"
            f" SELECT i, REPEAT(CONCAT({parts}), 16) FROM n WHERE i >= {first}"
        )
    catalogs.fill("ANALYZE TABLE wide")


def masters(catalogs: Ground, rows: int) -> None:
    """Masters with ten part rows each."""
    catalogs.fill(
        "CREATE TABLE scan (subject varchar(16), scan int, rate float, PRIMARY KEY (subject, scan))",
        "CREATE TABLE scan__field (subject varchar(16), scan int, field tinyint, x double, y double,"
        " label varchar(20), PRIMARY KEY (subject, scan, field),"
        " FOREIGN KEY (subject, scan) REFERENCES scan (subject, scan))",
        f"INSERT INTO scan {NUMBERS.format(rows)} SELECT CONCAT('subject', i % 100), i, i / 7 FROM n",
        f"INSERT INTO scan__field {NUMBERS.format(10)}"
        " SELECT subject, scan, i, scan / 3, i / 3, CONCAT('field ', i) FROM scan, n",
        "ANALYZE TABLE scan, scan__field",
    )


def many(catalogs: Ground, links: int) -> None:
    """Many small tables, each referring to the one before it in chains of ten."""
    statements = []
    for number in range(links):
        above = f"many_{number - 1:04}"
        key = f", FOREIGN KEY (k) REFERENCES {above} (k)" if number % 10 else ""
        statements.append(f"CREATE TABLE many_{number:04} (k int PRIMARY KEY, v varchar(20){key})")
        statements.append(f"INSERT INTO many_{number:04} VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    catalogs.fill(*statements)


def below(catalogs: Ground, rows: int) -> None:
    """Lessons of 500 animals; trials, which inherit a lesson's key; remarks, which refer to a lesson."""
    catalogs.fill(
        "CREATE TABLE animal (animal int PRIMARY KEY, species int)",
        "CREATE TABLE lesson (lesson int PRIMARY KEY, animal int NOT NULL,"
        " FOREIGN KEY (animal) REFERENCES animal (animal))",
        "CREATE TABLE trial (lesson int, trial int, rate float, PRIMARY KEY (lesson, trial),"
        " FOREIGN KEY (lesson) REFERENCES lesson (lesson))",
        "CREATE TABLE remark (remark int PRIMARY KEY, lesson int NOT NULL,"
        " FOREIGN KEY (lesson) REFERENCES lesson (lesson))",
        f"INSERT INTO animal {NUMBERS.format(500)} SELECT i, i % 2 FROM n",
        f"INSERT INTO lesson {NUMBERS.format(rows // 10)} SELECT i, 1 + i % 500 FROM n",
        f"INSERT INTO trial {NUMBERS.format(10)} SELECT lesson, i, lesson / 7 FROM lesson, n",
        f"INSERT INTO remark {NUMBERS.format(rows)} SELECT i, 1 + i % {rows // 10} FROM n",
        "ANALYZE TABLE animal, lesson, trial, remark",
    )


def visits(catalogs: Ground, rows: int) -> None:
    """Masters with two part rows each."""
    catalogs.fill(
        "CREATE TABLE visit (subject varchar(16), visit int, rate float, PRIMARY KEY (subject, visit))",
        "CREATE TABLE visit__sample (subject varchar(16), visit int, sample tinyint, value double,"
        " PRIMARY KEY (subject, visit, sample),"
        " FOREIGN KEY (subject, visit) REFERENCES visit (subject, visit))",
        f"INSERT INTO visit {NUMBERS.format(rows)} SELECT CONCAT('subject', i % 100), i, i / 7 FROM n",
        "INSERT INTO visit__sample SELECT subject, visit, s.i, visit / 3"
        " FROM visit, (SELECT 1 AS i UNION ALL SELECT 2) s",
        "ANALYZE TABLE visit, visit__sample",
    )


def wide_key(catalogs: Ground, rows: int) -> None:
    """Rows with a key of 16 columns, the most that InnoDB takes."""
    kinds = ("int", "smallint", "date", "varchar(12)")
    declared = ", ".join(f"k{n} {kinds[n % 4]}" for n in range(16))
    values = (
        "i DIV {0} % 97",
        "i % 13 + {0}",
        "DATE('2020-01-01') + INTERVAL i % 300 DAY",
        "CONCAT('s', i % 41)",
    )
    filled = ", ".join(["i", *(values[n % 4].format(n) for n in range(1, 16))])
    catalogs.fill(
        f"CREATE TABLE keyed ({declared}, value double,"
        f" PRIMARY KEY ({', '.join(f'k{n}' for n in range(16))})) CHARSET=utf8mb4",
        f"INSERT INTO keyed {NUMBERS.format(rows)} SELECT {filled}, i / 3 FROM n",
        "ANALYZE TABLE keyed",
    )
