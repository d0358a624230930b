//! What the server makes of a statement: its parse tree, the tables that it names, the functions that it calls.

use std::collections::BTreeSet;

use super::{Catalog, FIRST_USER_OBJECT};
use crate::postgres::node_tree::{Node, Struct};
use crate::postgres::wire::{Connection, Value};
use crate::postgres::{PostgresError, expect};

/// Locks on relations that the transaction of this connection holds.
const OWN_LOCKS: &str = "SELECT relation, mode FROM pg_catalog.pg_locks
  WHERE locktype = 'relation' AND pid = pg_catalog.pg_backend_pid()
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";

const FUNCTIONS: &str =
    "SELECT oid, proname, provolatile, proleakproof FROM pg_catalog.pg_proc WHERE oid = ANY ($1::oid[])";

/// What the server says of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub volatility: Volatility,
    /// It reveals nothing about its arguments except by its result, so it raises no error either.
    pub leakproof: bool,
    /// It came with the server.
    pub is_built_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volatility {
    Immutable,
    Stable,
    Volatile,
}

/// How a statement locks a table while the server analyses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationLock {
    Read,
    RowLock,
    Write,
    Other,
}

/// The server's analysis of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Analysis {
    /// The tables that it names, including those behind views, by the locks that the analysis takes; without those of
    /// the system catalogs.
    pub relations: Vec<(u32, RelationLock)>,
    /// The queries that remain when views are expanded and rules and policies applied: usually one.
    pub queries: Vec<Struct>,
}

impl Analysis {
    /// The functions that it calls, operators' and aggregates included.
    pub fn functions(&self) -> BTreeSet<u32> {
        functions(&self.queries)
    }
}

fn functions(queries: &[Struct]) -> BTreeSet<u32> {
    let mut called = BTreeSet::new();
    for query in queries {
        query.walk(&mut |node| {
            for field in ["funcid", "opfuncid", "aggfnoid", "winfnoid"] {
                called.insert(node.number::<u32>(field));
            }
        });
    }
    called.remove(&0);
    called
}

impl Catalog {
    /// Has the server analyse a statement with parameters of these types, in a transaction of its own, without running it.
    /// `None` where the server does not take it.
    ///
    /// The parse tree comes by `debug_print_rewritten` as a message to the client; where `quiet`, the server is told not to
    /// write it to its log.
    ///
    /// # Errors
    /// When the connection is lost, or a query of pgbraid's own fails.
    pub async fn analyse(
        &mut self,
        control: &mut Connection,
        sql: &str,
        types: &[u32],
        quiet: bool,
    ) -> Result<Option<Analysis>, PostgresError> {
        let log = if quiet {
            "; SET LOCAL log_min_messages = fatal"
        } else {
            ""
        };
        let begin = format!(
            "BEGIN{log}; SET LOCAL client_min_messages = log; SET LOCAL debug_pretty_print = off; \
             SET LOCAL debug_print_rewritten = on"
        );
        expect(control.simple(&begin).await?, "preparing to analyse a statement")?;
        let described = control.describe(sql, types).await?;
        let locks = match described.error {
            Some(_) => None,
            None => {
                expect(
                    control.simple("SET LOCAL debug_print_rewritten = off").await?,
                    "analysing a statement",
                )?;
                Some(expect(
                    control.query(OWN_LOCKS, &[]).await?,
                    "asking for a statement's tables",
                )?)
            }
        };
        control.simple("ROLLBACK").await?;
        let Some(locks) = locks else { return Ok(None) };
        let mut relations = Vec::new();
        for row in &locks.rows {
            let [Some(relation), Some(mode)] = row.as_slice() else {
                continue;
            };
            let Ok(relation) = relation.parse::<u32>() else {
                continue;
            };
            let lock = match mode.as_str() {
                "AccessShareLock" => RelationLock::Read,
                "RowShareLock" => RelationLock::RowLock,
                "RowExclusiveLock" => RelationLock::Write,
                _ => RelationLock::Other,
            };
            if relation >= FIRST_USER_OBJECT {
                relations.push((relation, lock));
            }
        }
        let queries = match described.parse_trees.as_slice() {
            [tree] => queries(tree),
            _ => Vec::new(),
        };
        self.look_up_functions(control, &queries).await?;
        Ok(Some(Analysis { relations, queries }))
    }

    /// Finds out whether constants in parse trees can be read.
    ///
    /// # Errors
    /// As [`Catalog::analyse`].
    pub async fn try_constants(&mut self, control: &mut Connection, quiet: bool) -> Result<(), PostgresError> {
        let analysis = self.analyse(control, "SELECT 1", &[], quiet).await?;
        let mut found = None;
        for query in analysis.iter().flat_map(|analysis| &analysis.queries) {
            query.walk(&mut |node| {
                if node.tag == "CONST" {
                    found = Some(node.field("constvalue").clone());
                }
            });
        }
        self.reads_constants = found == Some(Node::Bytes(vec![1, 0, 0, 0, 0, 0, 0, 0]));
        Ok(())
    }

    async fn look_up_functions(&mut self, control: &mut Connection, queries: &[Struct]) -> Result<(), PostgresError> {
        let mut called = functions(queries);
        called.retain(|function| !self.functions.contains_key(function));
        if called.is_empty() {
            return Ok(());
        }
        let numbers: Vec<String> = called.iter().map(u32::to_string).collect();
        let values = [Value::text(format!("{{{}}}", numbers.join(",")))];
        let found = expect(
            control.query(FUNCTIONS, &values).await?,
            "asking for a statement's functions",
        )?;
        for row in &found.rows {
            let [Some(oid), Some(name), Some(volatility), Some(leakproof)] = row.as_slice() else {
                continue;
            };
            let Ok(oid) = oid.parse::<u32>() else { continue };
            let function = Function {
                name: name.clone(),
                volatility: match volatility.as_str() {
                    "i" => Volatility::Immutable,
                    "s" => Volatility::Stable,
                    _ => Volatility::Volatile,
                },
                leakproof: leakproof == "t",
                is_built_in: oid < FIRST_USER_OBJECT,
            };
            self.functions.insert(oid, function);
        }
        Ok(())
    }
}

/// The queries of a parse tree; none where it is not understood.
fn queries(tree: &str) -> Vec<Struct> {
    let Some(Node::List(queries)) = Node::parse(tree) else {
        return Vec::new();
    };
    let structs: Option<Vec<Struct>> = queries.iter().map(|query| query.as_struct().cloned()).collect();
    structs.unwrap_or_default()
}
