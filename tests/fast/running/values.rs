//! Values that flow from one statement to the next.

use pgbraid::run::RunError;

use super::on_rows;
use crate::common::lab::Lab;
use crate::common::transcript::results;

#[test]
fn values_of_every_type_arrive_as_they_left() {
    let text = r#"
        setup = '''
        CREATE TYPE mood AS ENUM ('sad', 'it''s "fine"');
        CREATE TYPE pair AS (left_one integer, right_one text);
        CREATE TABLE source (
          n numeric, big bigint, small smallint, f double precision, b boolean, tz timestamptz, ts timestamp, d date,
          i interval, plain text, quoted text, empty text, c char(5), numbers integer[], texts text[], j json,
          jb jsonb, bytes bytea, m mood, u uuid, r int4range, p pair, nothing integer, o oid, bits bit(3), ip inet
        );
        INSERT INTO source VALUES (
          12345678901234567890.10, 9223372036854775807, -32768, 0.1 + 0.2::double precision, true,
          '2020-02-03 04:05:06.789012+02', '0044-03-15 00:00:00 BC', '2020-02-29', '1 mon -2 days 03:04:05.6',
          'plain', E'it''s \\ "quoted" :name $1\n\u00e9\U0001F600', '', 'ab', '{1,NULL,3}', '{"a,b","c\"d",NULL,""}',
          '{"a": [1, null]}', '{"k": "v''"}', '\x00ff27', 'it''s "fine"', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
          '[1,5)', '(1,"x,""y")', NULL, 4000000000, '101', '10.0.0.0/8'
        );
        CREATE TABLE target (LIKE source);
        '''
        [[session]]
        name = "a"
        steps = [
          { name = "read", sql = "SELECT * FROM source" },
          { name = "write", sql = """
            INSERT INTO target VALUES (:n, :big, :small, :f, :b, :tz, :ts, :d, :i, :plain, :quoted, :empty, :c,
              :numbers, :texts, :j, :jb, :bytes, :m, :u, :r, :p, :nothing, :o, :bits, :ip)""" },
          { name = "types", sql = """
            SELECT pg_typeof(:n)::text AS n, pg_typeof(:small)::text AS small, pg_typeof(:tz)::text AS tz,
              pg_typeof(:m)::text AS m, pg_typeof(:numbers)::text AS numbers, pg_typeof(:p)::text AS p,
              pg_typeof(:nothing)::text AS nothing, pg_typeof(:quoted)::text AS quoted""" },
        ]
        [[invariant]]
        name = "the same"
        sql = "SELECT count(*) = 1 FROM source JOIN target ON source::text = target::text"
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run_repeatedly(2, "");
    assert_eq!(run.violations, []);
    let types: Vec<String> = results(&run, "a", "types").remove(0).into_iter().flatten().collect();
    assert_eq!(
        types,
        [
            "numeric",
            "smallint",
            "timestamp with time zone",
            "mood",
            "integer[]",
            "pair",
            "integer",
            "text"
        ]
    );
}

#[test]
fn parameters_have_the_types_of_literals() {
    let text = r#"
        setup = "CREATE TABLE t (n numeric, d date, b boolean, i integer, big bigint, name text)"
        [[session]]
        name = "a"
        params = { n = 1.10, d = "2020-02-29", b = true, i = 7, big = 5000000000, name = "it's" }
        steps = [
          { name = "write", sql = "INSERT INTO t VALUES (:n, :d, :b, :i, :big, :name) RETURNING *" },
          { name = "types", sql = "SELECT pg_typeof(:n)::text, pg_typeof(:i)::text AS i, pg_typeof(:big)::text AS big" },
        ]
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run("");
    let row: Vec<String> = results(&run, "a", "write").remove(0).into_iter().flatten().collect();
    assert_eq!(row, ["1.10", "2020-02-29", "t", "7", "5000000000", "it's"]);
    let types: Vec<String> = results(&run, "a", "types").remove(0).into_iter().flatten().collect();
    assert_eq!(types, ["numeric", "integer", "bigint"]);
}

#[test]
fn colons_in_literals_comments_and_casts_are_left_alone() {
    let text = r#"
        [[session]]
        name = "a"
        params = { x = 5 }
        steps = [{ name = "read", sql = "SELECT ':x' AS a, :x::text AS b, $q$:x$q$ AS c /* :x */ -- :x" }]
        "#;
    let lab = Lab::new();
    let run = lab.bench(text).run("");
    let row: Vec<String> = results(&run, "a", "read").remove(0).into_iter().flatten().collect();
    assert_eq!(row, [":x", "5", ":x"]);
}

#[test]
fn several_rows_are_an_error_where_one_of_their_columns_is_used() {
    let used = on_rows(
        r#"
        [[session]]
        name = "a"
        steps = [
          { name = "read all", sql = "SELECT id, v FROM t" },
          { name = "unrelated", sql = "SELECT 1 AS one" },
          { name = "write", sql = "UPDATE t SET v = :one WHERE id = :id" },
        ]
        "#,
    );
    let lab = Lab::new();
    match lab.bench(&used).try_run("") {
        Err(error @ RunError::SeveralRows { .. }) => assert_eq!(
            error.to_string(),
            "session a: variable :id has no single value, since step read all returned 3 rows"
        ),
        other => panic!("{other:?}"),
    }
    let unused = used.replace("WHERE id = :id", "");
    assert_eq!(lab.bench(&unused).run("").violations, []);
}
