//! Scenarios made in code.
//!
//! The builder writes the text of a scenario file and has it parsed, so a scenario made in code passes the same checks,
//! and its mistakes are shown in the same way: in the text.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use super::toml::{CLOSURE, long_text, params, text, texts};
use crate::scenario::{Closure, Isolation, Param, Scenario, ScenarioError, SessionProgram};

/// A scenario under construction; see [`Scenario::builder`].
#[derive(Debug, Clone)]
#[must_use = "`build` makes the scenario"]
pub struct ScenarioBuilder {
    name: String,
    /// Keys of the file.
    keys: Vec<String>,
    /// Its tables.
    tables: Vec<String>,
    /// How many of these are sessions.
    entries: usize,
    /// Sessions that are closures, by the number of their entry.
    closures: Vec<(usize, Closure)>,
}

/// A session under construction; see [`ScenarioBuilder::session`].
#[derive(Debug, Clone)]
#[must_use = "it is what the function given to `session` returns"]
pub struct SessionBuilder {
    keys: Vec<String>,
    copies: Vec<BTreeMap<String, Param>>,
    steps: Vec<String>,
}

impl Scenario {
    /// Makes a scenario in code.
    ///
    /// ```
    /// use pgbraid::Scenario;
    ///
    /// # fn main() -> Result<(), pgbraid::scenario::ScenarioError> {
    /// let scenario = Scenario::builder("counter")
    ///     .setup("CREATE TABLE articles (id text PRIMARY KEY, views integer NOT NULL)")
    ///     .setup("INSERT INTO articles VALUES ('a1', 0)")
    ///     .session("worker", |worker| {
    ///         worker
    ///             .copies(2)
    ///             .statement("BEGIN")
    ///             .step("read", "SELECT views FROM articles WHERE id = 'a1' FOR UPDATE")
    ///             .step("write", "UPDATE articles SET views = :views + 1 WHERE id = 'a1'")
    ///             .statement("COMMIT")
    ///     })
    ///     .invariant("no update is lost", "SELECT views = 2, views FROM articles WHERE id = 'a1'")
    ///     .build()?;
    ///
    /// assert_eq!(scenario.sessions.len(), 2);
    /// scenario.prove().assert_holds();
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(name: impl Into<String>) -> ScenarioBuilder {
        ScenarioBuilder {
            name: name.into(),
            keys: Vec::new(),
            tables: Vec::new(),
            entries: 0,
            closures: Vec::new(),
        }
    }
}

impl ScenarioBuilder {
    /// SQL that creates the state every run starts from; may hold several statements. Further calls add to it.
    pub fn setup(mut self, sql: &str) -> ScenarioBuilder {
        let setup = "setup = ";
        let earlier = self.keys.iter().position(|key| key.starts_with(setup));
        let sql = match earlier.map(|place| self.keys.remove(place)) {
            // what was written by this function can be read
            Some(earlier) => match earlier
                .parse::<::toml::Table>()
                .ok()
                .and_then(|mut table| table.remove("setup"))
            {
                Some(::toml::Value::String(earlier)) => format!("{};\n{sql}", earlier.trim_end().trim_end_matches(';')),
                _ => sql.to_owned(),
            },
            None => sql.to_owned(),
        };
        self.keys.push(format!("{setup}{}", long_text(&sql)));
        self
    }

    /// Adds a session: a connection and the steps that it runs.
    pub fn session(mut self, name: &str, steps: impl FnOnce(SessionBuilder) -> SessionBuilder) -> ScenarioBuilder {
        let session = SessionBuilder {
            keys: vec![format!("name = {}", text(name))],
            copies: Vec::new(),
            steps: Vec::new(),
        };
        self.tables.push(steps(session).table());
        self.entries += 1;
        self
    }

    /// Adds a session that is a closure: it is given the URL of its own connection address, and each statement that it sends
    /// there is a step. It runs as a task of this process, on a runtime of its own, once in each run; runs may be under way at
    /// the same time. An error that it returns, or a panic, fails the schedule as a program's exit code 1 does. When its run is
    /// over it is aborted, with the tasks that it has spawned.
    ///
    /// ```
    /// use pgbraid::Scenario;
    /// use tokio_postgres::NoTls;
    ///
    /// /// Counts a view: reads, and writes one more.
    /// async fn count(url: String) -> Result<(), tokio_postgres::Error> {
    ///     let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    ///     tokio::spawn(connection);
    ///     let views: i32 = client.query_one("SELECT views FROM articles", &[]).await?.get(0);
    ///     client.execute("UPDATE articles SET views = $1", &[&(views + 1)]).await?;
    ///     Ok(())
    /// }
    ///
    /// # fn main() -> Result<(), pgbraid::scenario::ScenarioError> {
    /// let scenario = Scenario::builder("views")
    ///     .setup("CREATE TABLE articles (views integer NOT NULL)")
    ///     .setup("INSERT INTO articles VALUES (0)")
    ///     .attach("one", count)
    ///     .attach("other", |url| async move { count(url).await })
    ///     .invariant("no view is lost", "SELECT views = 2, views FROM articles")
    ///     .build()?;
    ///
    /// scenario.explore().assert_fails("no view is lost");
    /// # Ok(())
    /// # }
    /// ```
    pub fn attach<F, D, E>(mut self, name: &str, closure: F) -> ScenarioBuilder
    where
        F: Fn(String) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.tables
            .push(format!("[[session]]\nname = {}\n{CLOSURE}", text(name)));
        self.closures.push((self.entries, Closure::new(closure)));
        self.entries += 1;
        self
    }

    /// Adds what must hold when all sessions are over: one statement that returns one row whose first column is true.
    pub fn invariant(mut self, name: &str, sql: &str) -> ScenarioBuilder {
        self.tables.push(format!(
            "[[invariant]]\nname = {}\nsql = {}",
            text(name),
            long_text(sql)
        ));
        self
    }

    /// Every outcome must be that of some serial order of the transactions that committed.
    pub fn serializable(mut self) -> ScenarioBuilder {
        self.keys.push("serializable = true".to_owned());
        self
    }

    /// A deadlock does not fail a schedule.
    pub fn deadlocks_allowed(mut self) -> ScenarioBuilder {
        self.keys.push("deadlock = \"allowed\"".to_owned());
        self
    }

    /// Columns, as `table.column`, whose values are not part of an outcome.
    pub fn ignore<'a>(mut self, columns: impl IntoIterator<Item = &'a str>) -> ScenarioBuilder {
        let columns: Vec<String> = columns.into_iter().map(str::to_owned).collect();
        self.keys.push(format!("ignore = {}", texts(&columns)));
        self
    }

    /// The scenario, checked as a file is.
    ///
    /// # Errors
    /// The first mistake, shown in the text of the scenario file that this builder stands for.
    pub fn build(self) -> Result<Scenario, ScenarioError> {
        let text: Vec<String> = self.keys.into_iter().chain(self.tables).collect();
        let source = format!("{} (built in code)", self.name);
        let mut scenario = Scenario::from_toml(&self.name, &source, &(text.join("\n\n") + "\n"), Path::new(""))?;
        for (entry, closure) in self.closures {
            for session in scenario.sessions.iter_mut().filter(|session| session.entry == entry) {
                session.program = Some(Arc::new(SessionProgram::Closure(closure.clone())));
            }
        }
        Ok(scenario)
    }
}

impl SessionBuilder {
    /// Adds a statement under a name that is unique in the session.
    pub fn step(mut self, name: &str, sql: &str) -> SessionBuilder {
        self.steps
            .push(format!("{{ name = {}, sql = {} }}", text(name), long_text(sql)));
        self
    }

    /// Adds a statement that is skipped unless `condition`, an SQL expression over the session's variables, is true.
    pub fn step_when(mut self, condition: &str, name: &str, sql: &str) -> SessionBuilder {
        let (name, sql) = (text(name), long_text(sql));
        self.steps
            .push(format!("{{ name = {name}, sql = {sql}, when = {} }}", text(condition)));
        self
    }

    /// Adds a statement named by its first word, such as `BEGIN`.
    pub fn statement(mut self, sql: &str) -> SessionBuilder {
        self.steps.push(long_text(sql));
        self
    }

    /// The number of sessions that run these steps: `worker-1`, `worker-2`, …
    pub fn copies(mut self, copies: u32) -> SessionBuilder {
        self.keys.push(format!("copies = {copies}"));
        self
    }

    /// Adds a copy with variables of its own.
    pub fn copy_with<'a, P: Into<Param>>(
        mut self,
        variables: impl IntoIterator<Item = (&'a str, P)>,
    ) -> SessionBuilder {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        self.copies.push(variables.collect());
        self
    }

    /// The isolation level of its transactions; READ COMMITTED if this is not called.
    pub fn isolation(mut self, level: Isolation) -> SessionBuilder {
        self.keys.push(format!("isolation = {}", text(level.as_sql())));
        self
    }

    /// SQLSTATEs that may end the session without failing the schedule.
    pub fn allow_errors<'a>(mut self, sqlstates: impl IntoIterator<Item = &'a str>) -> SessionBuilder {
        let sqlstates: Vec<String> = sqlstates.into_iter().map(str::to_owned).collect();
        self.keys.push(format!("allow_errors = {}", texts(&sqlstates)));
        self
    }

    /// On these SQLSTATEs the transaction runs again, up to `max` times.
    pub fn retry<'a>(mut self, on: impl IntoIterator<Item = &'a str>, max: u32) -> SessionBuilder {
        let on: Vec<String> = on.into_iter().map(str::to_owned).collect();
        self.keys
            .push(format!("retry = {{ on = {}, max = {max} }}", texts(&on)));
        self
    }

    fn table(self) -> String {
        let mut lines = vec!["[[session]]".to_owned()];
        lines.extend(self.keys);
        if !self.copies.is_empty() {
            let copies: Vec<String> = self.copies.iter().map(params).collect();
            lines.push(format!("params = [{}]", copies.join(", ")));
        }
        let steps: String = self.steps.iter().map(|step| format!("  {step},\n")).collect();
        lines.push(format!("steps = [\n{steps}]"));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::scenario::Mistake;

    #[test]
    fn everything_that_a_file_can_say() {
        let scenario = Scenario::builder("test")
            .setup("CREATE TABLE t (n integer);")
            .setup("INSERT INTO t\nVALUES (1)")
            .deadlocks_allowed()
            .serializable()
            .ignore(["t.n"])
            .session("a", |session| {
                session
                    .isolation(Isolation::Serializable)
                    .copy_with([("who", "al'ice")])
                    .copy_with([("who", "bob")])
                    .allow_errors(["23505"])
                    .retry(["40001"], 3)
                    .statement("BEGIN")
                    .step("look", "SELECT n\nFROM t")
                    .step_when(":n > 0", "note", "INSERT INTO t VALUES (:n)")
                    .statement("COMMIT")
            })
            .invariant("some", "SELECT count(*) > 0 FROM t")
            .build()
            .unwrap_or_else(|error| panic!("{:?}", miette::Report::new(error)));
        assert_snapshot!(scenario.to_toml());
    }

    #[test]
    fn mistakes_are_those_of_files() {
        let mistake = |builder: ScenarioBuilder| builder.build().expect_err("a mistake").mistake;
        let session = |steps: fn(SessionBuilder) -> SessionBuilder| Scenario::builder("test").session("a", steps);
        assert!(matches!(*mistake(Scenario::builder("test")), Mistake::NoSessions));
        assert!(matches!(*mistake(session(|a| a)), Mistake::NoSteps(_)));
        assert!(matches!(
            *mistake(session(|a| a.statement("BEGIN"))),
            Mistake::OpenAtEnd(_)
        ));
        assert!(matches!(
            *mistake(session(|a| a.step("x", "SELECT 1").step("x", "SELECT 2"))),
            Mistake::DuplicateName { .. }
        ));
        assert!(matches!(
            *mistake(session(|a| a.copies(2).copies(3).statement("SELECT 1"))),
            Mistake::Syntax(_)
        ));
        assert!(matches!(
            *mistake(session(|a| a.statement("SELECT '\0'"))),
            Mistake::Nul(_)
        ));
    }
}
