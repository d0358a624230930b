//! The servers that the scenarios run on: one a thread, for as long as the thread's tests take.

use std::sync::Arc;

use pgbraid::postgres::Server;
use pgbraid::run::{RunError, Template};
use pgbraid::scenario::Scenario;
use tokio::runtime::Runtime;

use crate::common::server::{OwnServer, runtime};

pub struct Host {
    pub runtime: Runtime,
    pub server: Arc<Server>,
    _embedded: OwnServer,
}

impl Host {
    pub fn start() -> Host {
        let embedded = OwnServer::start();
        let runtime = runtime();
        let server = Arc::new(runtime.block_on(Server::connect(embedded.config(), true)).unwrap());
        Host {
            runtime,
            server,
            _embedded: embedded,
        }
    }

    /// Runs `work` on a scenario's state after setup, and drops every database that came of it.
    pub fn with_template<T>(&self, scenario: Scenario, work: impl FnOnce(&Arc<Template>) -> T) -> Result<T, RunError> {
        let template = self
            .runtime
            .block_on(Template::prepare(self.server.clone(), Arc::new(scenario)))?;
        let result = work(&Arc::new(template));
        self.runtime.block_on(self.server.drop_all_scratch())?;
        Ok(result)
    }
}
