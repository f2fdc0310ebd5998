"""Error numbers by what they mean for us. MySQL and MariaDB agree on those that both have."""

from __future__ import annotations

LOST = frozenset({0, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2014, 2055, 4031})
WAITED = frozenset({1205})
DEADLOCK = frozenset({1020, 1213})  # 1020: MariaDB's answer to a row that changed since the snapshot
EXISTS = frozenset({1050, 1060, 1061, 1826})
DENIED = frozenset({1044, 1142, 1143, 1227, 1370, 1410})
NO_DEFINER = frozenset({1045, 1449})  # said of a view whose account is gone
LOCKED_ACCOUNT = frozenset({3118, 3955, 4151})
CREDENTIALS = frozenset({1045, 1698, 1820, 1862}) | LOCKED_ACCOUNT
FULL = frozenset({1040, 1203, 1226})
DOWN = frozenset({1053, 2002, 2003, 2013})  # met by a login: the server is down, or goes down
SPACE = frozenset({1021, 1114, 3019})
READ_ONLY = frozenset({1290, 1792, 1836})
PLAIN_REFUSED = frozenset({3159, 4163})
REFERENCED = frozenset({1217, 1451})  # the row to be deleted or changed is one that others refer to
REFUSED_ROWS = REFERENCED | frozenset(
    {
        1048,
        1062,
        1216,
        1264,
        1265,
        1292,
        1300,
        1364,
        1366,
        1406,
        1452,
        1525,
        1644,
        1690,
        3140,
        3157,
        3819,
        4025,
    }
)
# a condition cannot be evaluated for a row: a value is not converted, or a function does not take it
NOT_EVALUATED = frozenset(
    {1139, 1264, 1265, 1292, 1300, 1365, 1366, 1411, 1416, 1525, 1690, 3020, 3037, 3055}
    | {3140, 3141, 3146, 3155, 3156, 3157, 3617, 3685, 3691, 3692, 3699}
)
# LOAD DATA LOCAL is off at the server, or forbidden
NO_LOCAL_LOAD = frozenset({1148, 1235, 2068, 3948, 4166})
BROKEN_VIEW = frozenset({1054, 1146, 1356})
