//! Repeats what a program did, without it.

use super::Doing;
use super::trees::Opening;
use crate::proxy::{Request, RequestEnd};
use crate::run::attached::Attached;
use crate::run::attached::host::Host;
use crate::run::attached::taking::Whose;
use crate::run::{Conditions, RunError};

impl Attached {
    /// Repeats what the program did next, up to its next step or its end.
    ///
    /// # Errors
    /// When that is not known, or the server fails.
    pub(in crate::run::attached) async fn recall(
        &mut self,
        host: &mut Host,
        conditions: &mut Conditions<'_>,
    ) -> Result<(), RunError> {
        host.used = true;
        self.release_links(host).await?;
        while self.held.is_none() && !self.ended {
            let before = self.memory.as_ref().map(|memory| memory.path);
            let doing = self.next_doing().ok_or(RunError::NotLearned)?;
            match &*doing {
                Doing::Connects(opening) => self.recall_connection(host, opening, conditions).await?,
                Doing::Asks { link, repeated } => {
                    let memory = self.memory.as_ref().ok_or(RunError::NotLearned)?;
                    let index = *memory.links.get(*link).ok_or(RunError::NotLearned)?;
                    let (request, end) = repeated.fill(&memory.met).ok_or(RunError::NotLearned)?;
                    self.take_request(host, index, request, end, Whose::Mine, conditions)
                        .await?;
                }
                Doing::Leaves { link } => {
                    let memory = self.memory.as_ref().ok_or(RunError::NotLearned)?;
                    let index = *memory.links.get(*link).ok_or(RunError::NotLearned)?;
                    self.farewell(host, index, conditions).await?;
                }
                Doing::Ends { exit, answer, output } => {
                    self.exit = *exit;
                    self.answer = answer.clone();
                    self.output = output.clone();
                    match &self.answer {
                        Some(answer) => {
                            let next = Some(answer.as_ref().map(|answer| answer.status));
                            self.note_next("its answer", format!("{next:?}"));
                        }
                        None => self.note_next("its end", format!("{exit:?}")),
                    }
                    self.ended = true;
                }
            }
            // what passes now without being looked at was of interest when it was learned
            if !self.ended && before == self.memory.as_ref().map(|memory| memory.path) {
                return Err(RunError::NotLearned);
            }
        }
        Ok(())
    }

    fn next_doing(&self) -> Option<std::sync::Arc<Doing>> {
        let memory = self.memory.as_ref().filter(|memory| !memory.lost)?;
        memory.next(self.id)
    }

    /// Takes a connection that was opened in the same way, or opens one.
    async fn recall_connection(
        &mut self,
        host: &mut Host,
        opening: &Opening,
        conditions: &mut Conditions<'_>,
    ) -> Result<(), RunError> {
        let is_free = |link: &crate::run::attached::link::Link| {
            !link.gone && !link.parked && link.owner.is_none() && link.opened() == *opening
        };
        let index = match host.links.iter().position(is_free) {
            Some(index) => index,
            None => {
                let index = host.open_alone(&opening.parameters).await?;
                host.links[index].owner = Some(self.id);
                for sql in &opening.settings {
                    let request = Request::query(sql).ok_or(RunError::NotLearned)?;
                    self.take_request(host, index, request, RequestEnd::Query, Whose::Mine, conditions)
                        .await?;
                }
                index
            }
        };
        host.links[index].owner = Some(self.id);
        self.number_of(host, index);
        Ok(())
    }
}
