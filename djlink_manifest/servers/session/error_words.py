"""The numbers of servers' errors: what each means for us, and what is said of it. One table.

MySQL and MariaDB agree on those that both have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOST = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031})
WAITED = frozenset({1205})
DEADLOCK = frozenset({1020, 1213})  # 1020: MariaDB's answer to a row that changed since the snapshot
EXISTS = frozenset({1050, 1060, 1061, 1826})
DENIED = frozenset({1044, 1142, 1143, 1227, 1370, 1410})
NO_DEFINER = frozenset({1045, 1449})  # said of a view whose account is gone
EXPIRED = frozenset({1820, 1862})
LOCKED_ACCOUNT = frozenset({3118, 3955, 4151})
CREDENTIALS = frozenset({1045, 1698}) | EXPIRED | LOCKED_ACCOUNT
FULL = frozenset({1040, 1203, 1226})
DOWN = frozenset({1053, 2002, 2003, 2013})  # met by a login: the server is down, or goes down
SPACE = frozenset({1021, 1114, 3019})
READ_ONLY = frozenset({1290, 1792, 1836})
OFFLINE = frozenset({3032})
PLAIN_REFUSED = frozenset({3159, 4163})
HOST_BLOCKED, HOST_REFUSED = frozenset({1129}), frozenset({1130})
NO_PLUGIN = frozenset({1251, 2059, 2061})
NO_KEY = "it asks for the password under a key of its own, which is not verified without TLS"
REFERENCED = frozenset({1217, 1451})  # the row to be deleted or changed is one that others refer to
REFUSED_ROWS = REFERENCED | frozenset(
    {1048, 1062, 1216, 1264, 1265, 1292, 1300, 1364, 1366, 1406, 1452, 1525}
    | {1644, 1690, 3140, 3157, 3819, 4025}
)
# a condition cannot be evaluated for a row: a value is not converted, or a function does not take it
NOT_EVALUATED = frozenset(
    {1139, 1264, 1265, 1292, 1300, 1365, 1366, 1411, 1416, 1525, 1690, 3020, 3037, 3055}
    | {3140, 3141, 3146, 3155, 3156, 3157, 3617, 3685, 3691, 3692, 3699}
)
# LOAD DATA LOCAL is off at the server, or forbidden
NO_LOCAL_LOAD = frozenset({1148, 1235, 2068, 3948, 4166})
BROKEN_VIEW = frozenset({1054, 1146, 1356})
GONE = frozenset({1049, 1146, 1051, 1109})  # a schema or table
COLUMN_GONE = frozenset({1054, 1072, 1091})
STOPPED = frozenset({1317, 1028, 3169})
TOO_LONG = frozenset({1969, 3024})
MEMORY = frozenset({1037, 1038, 1041, 1135, 3170, 5})
PACKET = frozenset({1153, 1301})


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of an error, and the next step; the server's own words follow in quotes."""

    problem: str
    hint: str


_AGAIN = "committed changes are kept; run `djlink apply` to continue"
_PLAN = "run `djlink plan` to see what is left to do"


def _table(*entries: tuple[Collection[int], str, str]) -> Mapping[int, Words]:
    return {number: Words(problem, hint) for numbers, problem, hint in entries for number in numbers}


WORDS = _table(
    (
        LOST,
        "the connection was lost",
        "check the server and the network, then run `djlink apply` again",
    ),
    (
        {4031},
        "the server closed the session because it was idle for too long",
        "run the command again; if it happens again, ask the server's administrator for a longer "
        "wait_timeout",
    ),
    (
        WAITED,
        "another session locks what is needed, and did not release it in time",
        f"another session locks these rows: look for long transactions (SHOW PROCESSLIST); {_AGAIN}",
    ),
    (
        DEADLOCK,
        "another session changed or locks the same rows",
        f"another session locks these rows: look for long transactions (SHOW PROCESSLIST); {_AGAIN}",
    ),
    (
        SPACE,
        "the server has no space left",
        f"the server's disk or tablespace is full: free space there; {_AGAIN}",
    ),
    (
        READ_ONLY,
        "the server is read-only and rejects writes",
        f"the server is read-only (a replica, or under maintenance): name the primary server; {_AGAIN}",
    ),
    (
        OFFLINE,
        "the server is in offline mode",
        f"wait until its administrator ends offline mode; {_AGAIN}",
    ),
    (
        FULL,
        "a limit of the server or of the account is reached",
        "try again later or with a smaller --parallelism, or ask its administrator to raise the limit "
        "(max_connections; ALTER USER … WITH …)",
    ),
    (
        EXPIRED,
        "the account's password has expired",
        "set a new one (ALTER USER … IDENTIFIED BY …) and change the variable or file that `password` "
        "refers to",
    ),
    (
        LOCKED_ACCOUNT,
        "the account is locked",
        "ask the server's administrator to run: ALTER USER … ACCOUNT UNLOCK;",
    ),
    (
        GONE,
        "a schema or table no longer exists, or is not visible to the account",
        f"it was dropped or renamed, or the account's privileges changed, after the plan was made: {_PLAN}",
    ),
    (
        COLUMN_GONE,
        "a column or index no longer exists",
        f"the table was changed after the plan was made: {_PLAN}",
    ),
    (
        {1356, 1449},
        "a view cannot be read: a table, a column or the account that it needs is missing",
        "run `djlink doctor`, which says what is wrong with the owner's views",
    ),
    (
        {1412},
        "a table was changed while it was read",
        "run the command again",
    ),
    (
        {1347, 1288, 1471, 3571},
        "a view or another object stands where a table was",
        f"ask the source's owner to restore the table: {_PLAN}",
    ),
    (
        STOPPED,
        "somebody ended the statement (KILL)",
        f"ask the server's administrator why; {_AGAIN}",
    ),
    (
        TOO_LONG,
        "the statement took longer than the server allows",
        "look for what slows the server down (SHOW PROCESSLIST), then run the command again",
    ),
    (
        MEMORY,
        "the server has not enough memory",
        f"try again later or with a smaller --parallelism, or ask its administrator; {_AGAIN}",
    ),
    (
        PACKET,
        "a row or statement is larger than the server's max_allowed_packet",
        "ask its administrator to run: SET GLOBAL max_allowed_packet = 1073741824;",
    ),
    (
        {1665},
        "the server's binlog_format is STATEMENT, which does not allow READ COMMITTED",
        "ask its administrator to run: SET GLOBAL binlog_format = ROW;",
    ),
    (
        {1396},
        "an account could not be created or changed",
        "check that it exists, and that this account may change it",
    ),
    (
        {1064, 1149},
        "the server does not understand a statement",
        "check that the server is a supported version (`djlink doctor`); if it is, this is a defect of "
        "djlink: please report it with the output of --debug",
    ),
    (
        {1193, 1231, 1238, 1621},
        "the server refuses a setting that djlink's sessions need",
        "check that the server is a supported version (`djlink doctor`)",
    ),
)
UNKNOWN = Words(
    "the server refused a statement",
    "look the error number up in the server's manual; --debug shows the statement",
)
