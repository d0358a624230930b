//! pgbraid: a deterministic interleaving explorer for database transactions, on real PostgreSQL.

pub mod conflict;
pub mod explore;
pub mod postgres;
pub mod report;
pub mod run;
pub mod scenario;
pub mod verdict;
