"""What a condition that a person writes in SQL may be made of: functions by vendor, and words.

Both list what is allowed. A function that is in none of them is refused, and so is a reserved word that is
no operator, so that neither a new clause of a later version nor a loadable function reaches a server.
"""

from __future__ import annotations

from djlink_manifest.model.vendors.vocabulary import BEFORE_PARENTHESES, FUNCTIONS, KEYWORDS

# fmt: off
# the other vendor has no such function, so that one of that name there would be somebody's own
_OF_ONE: dict[str, frozenset[str]] = {
    "mysql": frozenset({
        "any_value", "bin_to_uuid", "from_vector", "geomcollection", "is_uuid", "json_storage_free",
        "json_storage_size", "mbrcoveredby", "mbrcovers", "regexp_like", "st_frechetdistance", "st_geohash",
        "st_geomcollfromtxt", "st_hausdorffdistance", "st_isvalid", "st_latfromgeohash", "st_latitude",
        "st_lineinterpolatepoint", "st_lineinterpolatepoints", "st_longfromgeohash", "st_longitude",
        "st_makeenvelope", "st_numinteriorring", "st_pointatdistance", "st_pointfromgeohash", "st_simplify",
        "st_swapxy", "st_transform", "st_validate", "string_to_vector", "to_vector", "uuid_to_bin",
        "vector_dim", "vector_to_string",
    }),
    "mariadb": frozenset({
        "add_months", "chr", "concat_operator_oracle", "crc32c", "decode_oracle", "json_compact",
        "json_detailed", "json_equals", "json_exists", "json_loose", "json_normalize", "json_query",
        "lengthb", "natural_sort_key", "nvl", "nvl2", "sformat", "st_boundary", "st_isring",
        "st_pointonsurface", "st_relate", "sys_guid", "to_char", "uuid_v4", "uuid_v7", "vec_fromtext",
        "vec_totext",
    }),
}
# read a full-text index; or compare rows
_MORE = frozenset({"against", "match", "row"})
# written by servers into their catalogs, and by nobody into a condition
_INTERNAL = frozenset({"concat_operator_oracle", "decode_oracle"})

CALLABLE = (FUNCTIONS | _MORE) - _INTERNAL
# not `default`: DEFAULT(column) computes the column's default, which on MariaDB may take from a sequence
GROUPING = BEFORE_PARENTHESES - {"default"}
OPERATORS = KEYWORDS | frozenset({
    "boolean", "language", "mode", "natural",  # MATCH (…) AGAINST (… IN BOOLEAN MODE)
    "sql_tsi_second", "sql_tsi_minute", "sql_tsi_hour", "sql_tsi_day", "sql_tsi_week", "sql_tsi_month",
    "sql_tsi_quarter", "sql_tsi_year",
})
# every word that MySQL 9.7 or MariaDB 10.11 and 11.8 do not take for a column's name, and that is no operator
RESERVED = frozenset({
    "accessible", "add", "all", "alter", "analyze", "asc", "asensitive", "before", "bigint", "blob",
    "by", "call", "cascade", "change", "check", "column", "condition", "constraint", "continue",
    "convert", "create", "cross", "cube", "cume_dist", "current_role", "cursor", "database",
    "databases", "dec", "declare", "delayed", "delete", "delete_domain_id", "dense_rank", "desc",
    "describe", "deterministic", "distinct", "distinctrow", "do_domain_ids", "drop", "dual", "each",
    "elseif", "enclosed", "escaped", "except", "exists", "exit", "explain", "external", "fetch",
    "first_value", "float4", "float8", "force", "foreign", "fulltext", "function", "generated", "get",
    "grant", "group", "grouping", "groups", "having", "high_priority", "if", "ignore",
    "ignore_domain_ids", "index", "infile", "inner", "inout", "insensitive", "insert", "int1", "int2",
    "int3", "int4", "int8", "intersect", "into", "io_after_gtids", "io_before_gtids", "iterate", "join",
    "json_table", "key", "keys", "kill", "lag", "last_value", "lateral", "lead", "leave", "left",
    "library", "limit", "linear", "lines", "load", "lock", "long", "longblob", "longtext", "loop",
    "low_priority", "master_demote_to_replica", "master_demote_to_slave",
    "master_ssl_verify_server_cert", "match", "maxvalue", "mediumblob", "mediumint", "mediumtext",
    "middleint", "modifies", "no_write_to_binlog", "nth_value", "ntile", "numeric", "offset",
    "optimize", "optimizer_costs", "option", "optionally", "order", "out", "outer", "outfile", "over",
    "page_checksum", "parse_vcol_expr", "partition", "percent_rank", "portion", "primary", "procedure",
    "purge", "qualify", "range", "rank", "read", "read_write", "reads", "recursive", "ref_system_id",
    "references", "release", "rename", "repeat", "replace", "require", "resignal", "restrict", "return",
    "revoke", "right", "row", "row_number", "rows", "schema", "schemas", "select", "sensitive",
    "separator", "show", "signal", "smallint", "spatial", "specific", "sql", "sql_after_gtids",
    "sql_before_gtids", "sql_big_result", "sql_calc_found_rows", "sql_small_result", "sqlexception",
    "sqlstate", "sqlwarning", "ssl", "starting", "stats_auto_recalc", "stats_persistent",
    "stats_sample_pages", "stored", "straight_join", "system", "table", "tablesample", "terminated",
    "tinyblob", "tinyint", "tinytext", "to", "trigger", "undo", "union", "unique", "unlock", "update",
    "usage", "use", "values", "varbinary", "varcharacter", "varying", "vector", "virtual", "where",
    "while", "window", "with", "write", "zerofill",
})
# fmt: on


def callable_on(vendor: str) -> frozenset[str]:
    """The functions that a condition may call on a server of this vendor."""
    others = frozenset[str]().union(*(names for of, names in _OF_ONE.items() if of != vendor))
    return CALLABLE - others
