//! The content of tables, materialized views and large objects.

use super::{Template, content};
use crate::postgres::PostgresError;
use crate::postgres::baseline::{self, Baseline, MaterializedView, Reset, Table};
use crate::postgres::wire::Connection;
use crate::run::RunError;
use crate::verdict::outcome::TableContent;

/// What is to be read.
pub struct Contents {
    tables: Vec<Table>,
    populated: Vec<MaterializedView>,
    empty: Vec<MaterializedView>,
    /// Sessions may have made others than setup did.
    has_others: bool,
}

impl Contents {
    /// Finds out what there is to be read.
    pub async fn find(control: &mut Connection, template: &Template) -> Result<Contents, RunError> {
        let Baseline {
            tables,
            materialized_views,
            reset,
        } = &template.baseline;
        let has_others = matches!(reset, Reset::Copy) || template.scenario.has_programs();
        let (tables, views) = match has_others {
            false => (tables.clone(), materialized_views.clone()),
            true => (
                baseline::tables(control).await?,
                baseline::materialized_views(control).await?,
            ),
        };
        let (populated, empty) = views.into_iter().partition(|view| view.populated);
        Ok(Contents {
            tables,
            populated,
            empty,
            has_others,
        })
    }

    /// Reads all of it.
    pub async fn read(control: &mut Connection, template: &Template) -> Result<Vec<TableContent>, RunError> {
        let contents = Contents::find(control, template).await?;
        contents.queue(control)?;
        control.flush().await.map_err(PostgresError::from)?;
        let mut tables = contents.take(control, template).await?;
        tables.extend(contents.large_objects(control, template).await?);
        Ok(tables)
    }

    /// Asks for the rows. The caller flushes.
    pub fn queue(&self, control: &mut Connection) -> Result<(), PostgresError> {
        let tables = self
            .tables
            .iter()
            .map(|table| format!("SELECT * FROM ONLY {}", table.qualified()));
        let views = self
            .populated
            .iter()
            .map(|view| format!("SELECT * FROM {}", view.table.qualified()));
        for sql in tables.chain(views) {
            control.queue_statement(&sql, &[])?;
            control.queue_sync();
        }
        Ok(())
    }

    /// Takes the rows that were asked for.
    pub async fn take(&self, control: &mut Connection, template: &Template) -> Result<Vec<TableContent>, RunError> {
        let mut contents = Vec::with_capacity(self.tables.len() + self.populated.len() + self.empty.len());
        for table in self.tables.iter().chain(self.populated.iter().map(|view| &view.table)) {
            let reply = control.reply().await.map_err(PostgresError::from)?;
            contents.push(content(table, reply, &template.volatile)?);
        }
        // one that was never filled, or was emptied by WITH NO DATA, differs from one without rows
        contents.extend(self.empty.iter().map(|view| TableContent {
            name: view.table.display_name(),
            columns: Vec::new(),
            rows: Vec::new(),
        }));
        Ok(contents)
    }

    /// Large objects as a table, where there may be some.
    pub async fn large_objects(
        &self,
        control: &mut Connection,
        template: &Template,
    ) -> Result<Vec<TableContent>, RunError> {
        match self.has_others {
            true => Ok(template.large_objects.content(control).await?.into_iter().collect()),
            false => Ok(Vec::new()),
        }
    }
}
