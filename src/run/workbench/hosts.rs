//! Which program, and which part of it, a session is.

use std::collections::HashMap;
use std::sync::Arc;

use crate::run::attached::{Host, Part, SharedHost};
use crate::run::{Observed, Place, RunError};
use crate::scenario::{ProgramCommand, Scenario, Service, ServiceRequest, Session, SessionProgram};

/// The programs of a scenario, as its sessions are connected one after the other.
pub struct Hosts<'a> {
    scenario: &'a Scenario,
    observed: Arc<Observed>,
    /// The program whose first connection came last.
    shared: Option<SharedHost>,
    /// Instances of services, by name.
    services: HashMap<&'a str, Vec<SharedHost>>,
    /// How many requests to a service have named no instance.
    turns: HashMap<&'a str, usize>,
}

impl<'a> Hosts<'a> {
    pub fn new(scenario: &'a Scenario, observed: Arc<Observed>) -> Hosts<'a> {
        Hosts {
            scenario,
            observed,
            shared: None,
            services: HashMap::new(),
            turns: HashMap::new(),
        }
    }

    /// The program of session number `id`, and what of it the session is.
    ///
    /// # Errors
    /// When nothing can be listened at for it.
    pub async fn of(
        &mut self,
        session: &Session,
        id: usize,
        program: &'a SessionProgram,
        at: Place,
    ) -> Result<(SharedHost, Part), RunError> {
        match program {
            SessionProgram::Command(program) => self.of_command(session, id, program, at).await,
            SessionProgram::Request(request) => self.of_request(session, request, &at).await,
            SessionProgram::Closure(closure) => {
                let host = Host::of_closure(session.program_name(), closure.clone(), at, self.observed.clone());
                Ok((host.await?, Part::Whole))
            }
        }
    }

    /// What a session has in place of its program, whose deeds are repeated.
    ///
    /// # Errors
    /// When nothing can be listened at for it.
    pub async fn of_nothing(
        &self,
        session: &Session,
        program: &SessionProgram,
        at: Place,
    ) -> Result<(SharedHost, Part), RunError> {
        let part = match program {
            SessionProgram::Request(request) => Part::Request(request.filled(&session.params)),
            SessionProgram::Command(_) | SessionProgram::Closure(_) => Part::Whole,
        };
        let host = Host::of_nothing(session.program_name(), at, self.observed.clone());
        Ok((host.await?, part))
    }

    async fn of_command(
        &mut self,
        session: &Session,
        id: usize,
        program: &ProgramCommand,
        at: Place,
    ) -> Result<(SharedHost, Part), RunError> {
        if let (Some(host), Some(2..)) = (&self.shared, session.connection) {
            return Ok((host.clone(), Part::Connection));
        }
        let (part, connections) = match session.connection {
            Some(_) => (Part::Connection, id..id + program.connections.unwrap_or(1)),
            None => (Part::Whole, id..id),
        };
        let (name, filled) = (session.program_name(), program.filled(&session.params));
        let host = Host::of_command(name, filled, connections.collect(), at, self.observed.clone()).await?;
        self.shared = Some(host.clone());
        Ok((host, part))
    }

    async fn of_request(
        &mut self,
        session: &Session,
        request: &'a ServiceRequest,
        at: &Place,
    ) -> Result<(SharedHost, Part), RunError> {
        let name = request.service.as_str();
        if !self.services.contains_key(name) {
            let started = match self.service(name) {
                Some(service) => Host::of_service(service, at, &self.observed).await?,
                None => Vec::new(),
            };
            self.services.insert(name, started);
        }
        let instances = self.services.get(name).map(Vec::as_slice).unwrap_or_default();
        let turn = self.turns.entry(name).or_insert(0);
        let place = request.instance.map_or(*turn, |number| number - 1);
        *turn += usize::from(request.instance.is_none());
        let host = instances.get(place % instances.len().max(1));
        let host = host.cloned().ok_or_else(|| RunError::NoService(name.to_owned()))?;
        // the service's own handle, and that of an earlier request
        if Arc::strong_count(&host) > 2 {
            self.observed.note(format!(
                "requests share an instance of service {name}: what passes between them in its memory is not explored"
            ));
        }
        Ok((host, Part::Request(request.filled(&session.params))))
    }

    fn service(&self, name: &str) -> Option<&'a Service> {
        self.scenario.services.iter().find(|service| service.name == name)
    }
}
