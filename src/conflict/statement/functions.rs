//! What is known of PostgreSQL's own functions and aggregates. Everything that is not on a list here is unknown.

use crate::postgres::catalog::{Catalog, Volatility};

/// Which errors an expression can raise, as far as the order of rows decides which comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Errors {
    #[default]
    None,
    /// One SQLSTATE: that of sub-queries with more than one row, or of a locked row.
    One(&'static str),
    /// Any, in some row.
    Any,
}

impl Errors {
    pub fn and(self, other: Errors) -> Errors {
        match (self, other) {
            (Errors::None, errors) | (errors, Errors::None) => errors,
            (Errors::One(one), Errors::One(other)) if one == other => self,
            _ => Errors::Any,
        }
    }
}

/// Functions that raise no error, in addition to those that the server itself calls leakproof: an error would reveal
/// something of the values, so a leakproof function raises none.
const NEVER_FAIL: &[&str] = &[
    // comparisons of numeric
    "numeric_eq",
    "numeric_ne",
    "numeric_lt",
    "numeric_le",
    "numeric_gt",
    "numeric_ge",
    "numeric_uminus",
    "numeric_abs",
    // rounding of what is already a number
    "ceil",
    "ceiling",
    "floor",
    // texts
    "textcat",
    "lower",
    "upper",
    "initcap",
    "char_length",
    "character_length",
    "octet_length",
    "btrim",
    "ltrim",
    "rtrim",
    "replace",
    "left",
    "right",
    "reverse",
    "strpos",
    // parts of JSON that has already been parsed
    "jsonb_object_field",
    "jsonb_object_field_text",
    "jsonb_array_element",
    "jsonb_array_element_text",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_contains",
    "jsonb_contained",
    "jsonb_exists",
    "jsonb_eq",
    "jsonb_ne",
    "array_length",
    "cardinality",
    "array_upper",
    "array_lower",
    "num_nulls",
    "num_nonnulls",
    // the session's own
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "current_database",
    "current_schema",
    "random",
    "pg_backend_pid",
    "pg_typeof",
];

/// Functions that are STABLE and depend only on their arguments, the time of the statement or transaction, and the
/// session's own settings. Other STABLE functions read catalogs, transactions, or tables.
const KNOWN_STABLE: &[&str] = &[
    "anytextcat",
    "array_in",
    "array_out",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "current_database",
    "current_schema",
    "current_setting",
    "current_user",
    "date",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_in",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_out",
    "date_part",
    "date_trunc",
    "enum_first",
    "enum_in",
    "enum_last",
    "enum_out",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "get_current_ts_config",
    "interval_in",
    "interval_out",
    "interval_pl_timestamptz",
    "json_build_array",
    "json_build_object",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "length",
    "make_timestamptz",
    "now",
    "overlaps",
    "quote_literal",
    "quote_nullable",
    "range_in",
    "range_out",
    "record_in",
    "record_out",
    "row_to_json",
    "session_user",
    "statement_timestamp",
    "textanycat",
    "time",
    "time_in",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_in",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamp_out",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_in",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_out",
    "timestamptz_pl_interval",
    "timetz",
    "timetz_in",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "plainto_tsquery",
    "phraseto_tsquery",
    "websearch_to_tsquery",
    "transaction_timestamp",
    "version",
    "pg_typeof",
    // a name in a constant: nextval('s'::regclass)
    "regclass",
    "regclassin",
];

/// VOLATILE functions that touch nothing that sessions share. Values that they make differ between two runs are found
/// by running a schedule twice.
const KNOWN_VOLATILE: &[&str] = &[
    "clock_timestamp",
    "gen_random_uuid",
    "random",
    "setseed",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_backend_pid",
    "timeofday",
];

/// Functions for sequences.
const OF_SEQUENCES: [&str; 4] = ["nextval", "setval", "currval", "lastval"];

/// Functions that give the time. The first three give the start of the transaction.
pub const OF_CLOCK: [&str; 5] = [
    "now",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "timeofday",
];

/// Functions that make a time from a time in a way that reveals nothing about it: the result is a time again.
pub const PASS_TIMES_ON: [&str; 13] = [
    "date",
    "time",
    "timetz",
    "timestamp",
    "timestamptz",
    "timestamptz_pl_interval",
    "timestamptz_mi_interval",
    "timestamp_pl_interval",
    "timestamp_mi_interval",
    "date_pli",
    "date_mii",
    "interval_pl_timestamptz",
    "interval_pl_timestamp",
];

/// Functions that run a query given as text, read a table given by name (as those that produce XML do), or access large
/// objects.
const RUN_QUERIES: [&str; 14] = [
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstabn",
    "currtid2",
    "loread",
    "lowrite",
    "pgrowlocks",
    "pgstattuple",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// What the server keeps with each row, and what shows its age.
const OF_ROWS_PLACES: [&str; 6] = ["xmin", "xmax", "cmin", "cmax", "ctid", "age"];

/// Functions whose names begin with `pg_` but which look at nothing that a session can change.
const HARMLESS: [&str; 4] = ["pg_sleep", "pg_sleep_for", "pg_typeof", "pg_backend_pid"];

/// What a function does apart from its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touches {
    Nothing,
    Sequences,
    AdvisoryLocks,
    Notifications,
    /// A function of the scenario's own.
    Routine,
    Unknown,
}

/// What calling the function may touch.
pub fn touches(function: u32, catalog: &Catalog) -> Touches {
    let Some(known) = catalog.functions.get(&function) else {
        return Touches::Unknown;
    };
    if catalog.routines.iter().any(|routine| routine.oid == function) {
        return Touches::Routine;
    }
    let name = known.name.as_str();
    match known.volatility {
        // this includes functions of extensions that are declared so
        Volatility::Immutable => Touches::Nothing,
        _ if !known.is_built_in => Touches::Unknown,
        volatility => shared_by_name(name).unwrap_or(match volatility {
            Volatility::Stable if KNOWN_STABLE.contains(&name) => Touches::Nothing,
            Volatility::Volatile if KNOWN_VOLATILE.contains(&name) => Touches::Nothing,
            _ => Touches::Unknown,
        }),
    }
}

/// What a function of the server's own touches beside its arguments, where its name says that it touches something.
fn shared_by_name(name: &str) -> Option<Touches> {
    match name {
        _ if OF_SEQUENCES.contains(&name) => Some(Touches::Sequences),
        _ if name.starts_with("pg_advisory") || name.starts_with("pg_try_advisory") => Some(Touches::AdvisoryLocks),
        "pg_notify" => Some(Touches::Notifications),
        _ => None,
    }
}

/// What a text in which this name stands, in lower case, may touch for it, beside tables and functions of the scenario's
/// own.
pub fn touches_in_text(name: &str) -> Touches {
    if let Some(shared) = shared_by_name(name) {
        return shared;
    }
    let is_unknown = (name.starts_with("pg_") && !HARMLESS.contains(&name))
        || name == "information_schema"
        || OF_ROWS_PLACES.contains(&name)
        || ["txid_", "lo_", "dblink"].iter().any(|start| name.starts_with(start))
        || RUN_QUERIES.contains(&name)
        || name.contains("_to_xml");
    if is_unknown { Touches::Unknown } else { Touches::Nothing }
}

/// Which errors a call can raise.
pub fn errors(function: u32, catalog: &Catalog) -> Errors {
    let Some(known) = catalog.functions.get(&function).filter(|known| known.is_built_in) else {
        return Errors::Any;
    };
    if known.leakproof || NEVER_FAIL.contains(&known.name.as_str()) {
        return Errors::None;
    }
    Errors::Any
}

/// Whether each call gives another value, so that it matters which row comes first.
pub fn differs_by_call(function: u32, catalog: &Catalog) -> bool {
    let known = catalog.functions.get(&function);
    known.is_none_or(|known| !known.is_built_in || known.volatility == Volatility::Volatile)
}

/// Types whose equal values are the same to the last bit, so that it does not matter which of several equal values is
/// shown. These do not include numeric (1.0 and 1.00), floats (0 and -0), interval, bpchar, json, and arrays and ranges
/// of those.
pub fn is_exact(type_oid: u32, collation: u32) -> bool {
    // src/include/catalog/pg_type.dat: bool, bytea, "char", name, int8, int2, int4, text, oid, date, time, timestamp,
    // timestamptz, varchar, uuid
    match type_oid {
        16 | 17 | 18 | 20 | 21 | 23 | 26 | 1082 | 1083 | 1114 | 1184 | 2950 => true,
        // the server's own collations are deterministic
        19 | 25 | 1043 => collation < crate::postgres::catalog::FIRST_USER_OBJECT,
        _ => false,
    }
}

fn is_integer(type_oid: u32) -> bool {
    matches!(type_oid, 20 | 21 | 23)
}

/// Whether an aggregate of arguments of this type is the same in any order.
pub fn is_aggregate_without_order(name: &str, type_oid: u32, collation: u32) -> bool {
    const NUMERIC: u32 = 1700;
    match name {
        "count" | "bool_and" | "bool_or" | "every" => true,
        // numeric is added up exactly, and its scale is the largest of its inputs; floats are rounded at each step
        "sum" | "avg" => is_integer(type_oid) || type_oid == NUMERIC,
        "bit_and" | "bit_or" | "bit_xor" => is_integer(type_oid),
        "min" | "max" => is_exact(type_oid, collation),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::catalog::Function;

    fn catalog(name: &str, volatility: Volatility) -> Catalog {
        let mut catalog = Catalog::default();
        catalog.functions.insert(
            1,
            Function {
                name: name.to_owned(),
                volatility,
                leakproof: false,
                is_built_in: true,
            },
        );
        catalog
    }

    #[test]
    fn what_is_on_no_list_is_unknown() {
        let stable = |name| touches(1, &catalog(name, Volatility::Stable));
        assert_eq!(stable("to_char"), Touches::Nothing);
        assert_eq!(stable("table_to_xml"), Touches::Unknown);
        assert_eq!(stable("pg_current_snapshot"), Touches::Unknown);
        assert_eq!(
            touches(1, &catalog("lo_create", Volatility::Volatile)),
            Touches::Unknown
        );
        assert_eq!(
            touches(1, &catalog("nextval", Volatility::Volatile)),
            Touches::Sequences
        );
        assert_eq!(touches(2, &catalog("to_char", Volatility::Stable)), Touches::Unknown);
        assert_eq!(errors(1, &catalog("to_number", Volatility::Stable)), Errors::Any);
    }

    #[test]
    fn two_kinds_of_errors_are_any() {
        let one = Errors::One("21000");
        assert_eq!(one.and(one).and(Errors::None), one);
        assert_eq!(one.and(Errors::One("55P03")), Errors::Any);
    }
}
