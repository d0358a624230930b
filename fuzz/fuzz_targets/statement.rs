//! SQL: its tokens, its variables, what kind of statement it is, and where an error is in it. The first two bytes are the
//! position that the error names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pgbraid::conflict::{changes_meaning, know};
use pgbraid::fuzzing::{lex, point_at};
use pgbraid::postgres::catalog::Catalog;
use pgbraid::run::timeouts::millis;
use pgbraid::sql::{Statement, Template, commands};

fuzz_target!(|input: (u16, &str)| {
    let (position, sql) = input;
    lex(sql);
    let template = Template::parse(sql);
    // a space is put where a value would run into what is ahead of it
    let filled = template.fill(|name| format!(":{name}"));
    assert_eq!(filled.replace(' ', ""), sql.replace(' ', ""));
    let position = match position {
        // the ends of the range, too
        u16::MAX => u32::MAX,
        position => u32::from(position),
    };
    point_at(sql, template.original_position(position));
    point_at(sql, position);
    let statement = Statement::classify(sql);
    let _ = commands(sql);
    let _ = changes_meaning(sql, statement.kind);
    let _ = know(sql, None, &Catalog::default());
    let _ = millis(sql);
});
