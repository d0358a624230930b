//! The server's parse trees: they are read or refused, and what is read is understood or unknown. The
//! statement stands above the tree, with an empty line between the two.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pgbraid::conflict::know;
use pgbraid::postgres::catalog::{Analysis, Catalog};
use pgbraid::postgres::node_tree::Node;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog {
    reads_constants: true,
    ..Catalog::default()
});

fuzz_target!(|input: &str| {
    let Some((sql, tree)) = input.split_once("\n\n") else {
        return;
    };
    let queries = match Node::parse(tree) {
        Some(Node::Struct(query)) => vec![query],
        Some(Node::List(items)) => items.iter().filter_map(Node::as_struct).cloned().collect(),
        _ => return,
    };
    let analysis = Analysis {
        relations: Vec::new(),
        queries,
    };
    let _ = know(sql, Some(&analysis), &CATALOG);
});
