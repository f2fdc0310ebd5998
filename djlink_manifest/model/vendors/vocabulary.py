"""The words of expressions that may be taken over from another server's catalogue.

Functions here compute from their arguments, the clock, chance or the account. Those that wait, lock, read
files, change sequences, or show what else is on the server are left out on purpose.
"""

from __future__ import annotations

# fmt: off
KEYWORDS = frozenset({
    "and", "or", "xor", "not", "is", "null", "true", "false", "unknown", "in", "between", "like", "escape",
    "regexp", "rlike", "div", "mod", "case", "when", "then", "else", "end", "interval", "as", "collate",
    "charset", "character", "set", "using", "binary", "from", "for", "both", "leading", "trailing", "sounds",
    "member", "of", "returning", "on", "empty", "error", "default", "array", "at", "time", "zone", "local",
    # types of CAST
    "signed", "unsigned", "integer", "int", "char", "nchar", "varchar", "decimal", "double", "float", "real",
    "date", "datetime", "year", "json", "precision", "timestamp", "point", "linestring", "polygon",
    "multipoint", "multilinestring", "multipolygon", "geometrycollection", "inet4", "inet6", "uuid",
    # units of INTERVAL
    "microsecond", "second", "minute", "hour", "day", "week", "month", "quarter",
    "second_microsecond", "minute_microsecond", "minute_second", "hour_microsecond", "hour_second",
    "hour_minute", "day_microsecond", "day_second", "day_minute", "day_hour", "year_month",
    # called without parentheses
    "current_timestamp", "current_date", "current_time", "current_user", "localtime", "localtimestamp",
    "utc_date", "utc_time", "utc_timestamp",
})
# of them, those that a parenthesis may follow: reserved words, so that none is a function's name
BEFORE_PARENTHESES = frozenset({
    "and", "or", "xor", "not", "in", "between", "like", "escape", "regexp", "rlike", "div", "mod", "case",
    "when", "then", "else", "interval", "as", "using", "binary", "from", "for", "both", "leading", "trailing",
    "of", "on", "default", "char", "nchar", "varchar", "decimal", "double", "float", "real", "datetime",
})
FUNCTIONS = frozenset({
    # numbers
    "abs", "acos", "asin", "atan", "atan2", "ceil", "ceiling", "conv", "cos", "cot", "crc32", "crc32c",
    "degrees", "exp", "floor", "greatest", "least", "ln", "log", "log10", "log2", "mod", "pi", "pow", "power",
    "radians", "rand", "round", "sign", "sin", "sqrt", "tan", "truncate", "bit_count", "bin", "oct", "hex",
    "unhex", "format", "interval",
    # decisions
    "coalesce", "if", "ifnull", "nullif", "isnull", "nvl", "nvl2", "decode_oracle", "strcmp", "elt", "field",
    "find_in_set", "any_value",
    # text
    "ascii", "char", "chr", "char_length", "character_length", "concat", "concat_ws",
    "concat_operator_oracle",
    "export_set", "from_base64", "to_base64", "insert", "instr", "lcase", "left", "length", "lengthb",
    "locate", "lower", "lpad", "ltrim", "make_set", "mid", "natural_sort_key", "octet_length", "bit_length",
    "ord", "position", "quote", "regexp_instr", "regexp_like", "regexp_replace", "regexp_substr", "repeat",
    "replace", "reverse", "right", "rpad", "rtrim", "sformat", "soundex", "space", "substr", "substring",
    "substring_index", "to_char", "trim", "ucase", "upper", "weight_string", "charset", "collation",
    "coercibility",
    # conversion, digests
    "cast", "convert", "binary", "aes_encrypt", "aes_decrypt", "compress", "uncompress",
    "uncompressed_length",
    "md5", "sha", "sha1", "sha2", "random_bytes", "uuid", "uuid_short", "uuid_to_bin", "bin_to_uuid",
    "is_uuid", "sys_guid", "uuid_v4", "uuid_v7", "format_bytes",
    "format_pico_time", "inet_aton", "inet_ntoa", "inet6_aton", "inet6_ntoa",
    "is_ipv4", "is_ipv4_compat", "is_ipv4_mapped", "is_ipv6", "vec_fromtext", "vec_totext",
    "string_to_vector", "to_vector", "vector_to_string", "from_vector", "vector_dim",
    # dates and times
    "adddate", "addtime", "add_months", "convert_tz", "curdate", "current_date", "current_time",
    "current_timestamp", "curtime", "date", "datediff", "date_add", "date_format", "date_sub", "day",
    "dayname", "dayofmonth", "dayofweek", "dayofyear", "extract", "from_days", "from_unixtime", "get_format",
    "hour", "last_day", "localtime", "localtimestamp", "makedate", "maketime", "microsecond", "minute",
    "month", "monthname", "now", "period_add", "period_diff", "quarter", "second", "sec_to_time",
    "str_to_date", "subdate", "subtime", "sysdate", "time", "timediff", "timestamp", "timestampadd",
    "timestampdiff", "time_format", "time_to_sec", "to_days", "to_seconds", "unix_timestamp", "utc_date",
    "utc_time", "utc_timestamp", "week", "weekday", "weekofyear", "year", "yearweek",
    # JSON
    "json_array", "json_array_append", "json_array_insert", "json_compact", "json_contains",
    "json_contains_path", "json_depth", "json_detailed", "json_equals", "json_exists", "json_extract",
    "json_insert", "json_keys", "json_length", "json_loose", "json_merge", "json_merge_patch",
    "json_merge_preserve", "json_normalize", "json_object", "json_overlaps", "json_pretty", "json_query",
    "json_quote", "json_remove", "json_replace", "json_schema_valid", "json_search", "json_set",
    "json_storage_free", "json_storage_size", "json_type", "json_unquote", "json_valid", "json_value",
    # who
    "user", "current_user", "session_user", "system_user",
    # places
    "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection",
    "geomcollection", "st_area", "st_asbinary", "st_asgeojson", "st_astext", "st_aswkb", "st_aswkt",
    "st_boundary", "st_buffer", "st_centroid", "st_contains", "st_convexhull", "st_crosses", "st_difference",
    "st_dimension", "st_disjoint", "st_distance", "st_distance_sphere", "st_endpoint", "st_envelope",
    "st_equals", "st_exteriorring", "st_geohash", "st_geomcollfromtext", "st_geometryfromtext",
    "st_geometryn", "st_geometrytype", "st_geomfromgeojson", "st_geomfromtext", "st_geomfromwkb",
    "st_interiorringn", "st_intersection", "st_intersects", "st_isclosed", "st_isempty", "st_isring",
    "st_issimple", "st_isvalid", "st_latfromgeohash", "st_latitude", "st_length", "st_linefromtext",
    "st_longfromgeohash", "st_longitude", "st_makeenvelope", "st_numgeometries", "st_numinteriorring",
    "st_numinteriorrings", "st_numpoints", "st_overlaps", "st_pointfromgeohash", "st_pointfromtext",
    "st_pointn", "st_polyfromtext", "st_simplify", "st_srid", "st_startpoint", "st_swapxy",
    "st_symdifference", "st_touches", "st_transform", "st_union", "st_validate", "st_within", "st_x", "st_y",
    "st_frechetdistance", "st_hausdorffdistance", "st_lineinterpolatepoint", "st_lineinterpolatepoints",
    "st_pointatdistance", "st_pointonsurface", "st_relate",
    *(
        f"st_{kind}from{form}"
        for kind in (
            *("geom", "geometry", "point", "line", "linestring", "poly", "polygon", "mpoint", "multipoint"),
            *("mline", "multilinestring", "mpoly", "multipolygon", "geomcoll", "geometrycollection"),
        )
        for form in ("text", "wkb")
    ),
    "st_geomcollfromtxt",
    "mbrcontains", "mbrcoveredby", "mbrcovers", "mbrdisjoint", "mbrequals", "mbrintersects", "mbroverlaps",
    "mbrtouches", "mbrwithin",
})
# fmt: on
