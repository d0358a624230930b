//! Runs specifications in scratch databases, several at a time where they allow it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::blocking::BlockingMonitor;
use super::reach::REGRESSION_DATABASE;
use super::settings::Setting;
use super::specification::Specification;
use super::tester::{self, Options, TestError};
use super::transcript::Transcript;
use crate::postgres::{PostgresError, Server, expect, quote_identifier};

/// How specifications are run.
#[derive(Debug)]
pub struct SuiteOptions {
    pub server: Arc<Server>,
    /// Specifications to run at a time.
    pub jobs: usize,
    /// Settings of every session.
    pub settings: Vec<Setting>,
    /// How long a step may take.
    pub step_limit: Duration,
    /// Where databases are created and dropped, in parallel with the runs.
    pub background: Handle,
    pub interrupt: CancellationToken,
}

/// A specification that was run.
#[derive(Debug)]
pub struct Tested {
    /// Its index among those given.
    pub index: usize,
    pub elapsed: Duration,
    /// Standard output and standard error together.
    pub transcript: Vec<u8>,
    pub result: Result<(), TestError>,
}

/// Runs one specification in a scratch database, which is gone when this returns.
///
/// # Errors
///
/// See [`run`](super::run); also if the database cannot be created, or the run was interrupted.
pub fn run_one(
    specification: &Specification,
    options: &SuiteOptions,
    transcript: &mut dyn Transcript,
) -> Result<(), TestError> {
    let mut worker = Worker::open(options)?;
    let result = worker.run(specification, false, transcript);
    transcript.flush()?;
    result.and(worker.close())
}

/// Runs specifications, each in a scratch database of its own, and passes each to `done` when it is finished. Those
/// that other databases of the server could disturb come last, one after the other.
///
/// # Errors
///
/// No worker can be set up, or a database cannot be dropped.
pub fn run_suite(
    specifications: &[Specification],
    options: &SuiteOptions,
    done: &mut dyn FnMut(Tested),
) -> Result<(), TestError> {
    let all = 0..specifications.len();
    let (alone, together): (Vec<usize>, Vec<usize>) = match options.jobs {
        1 => (all.collect(), Vec::new()),
        _ => all.partition(|&index| specifications[index].runs_alone()),
    };
    run_queue(specifications, together, options.jobs, options, done)?;
    run_queue(specifications, alone, 1, options, done)
}

fn run_queue(
    specifications: &[Specification],
    queue: Vec<usize>,
    jobs: usize,
    options: &SuiteOptions,
    done: &mut dyn FnMut(Tested),
) -> Result<(), TestError> {
    let jobs = jobs.min(queue.len());
    let queue = Mutex::new(VecDeque::from(queue));
    // what is next, and whether there will be more
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queue.pop_front()?;
        Some((index, queue.len() >= jobs))
    };
    let (sender, receiver) = mpsc::channel();
    let work = |sender: mpsc::Sender<Tested>| -> Result<(), TestError> {
        let mut worker = Worker::open(options)?;
        while let Some((index, more)) = next() {
            let started = Instant::now();
            let mut transcript = Vec::new();
            let result = worker.run(&specifications[index], more, &mut transcript);
            let tested = Tested {
                index,
                elapsed: started.elapsed(),
                transcript,
                result,
            };
            if sender.send(tested).is_err() || options.interrupt.is_cancelled() {
                break;
            }
        }
        worker.close()
    };
    let work = &work;
    thread::scope(|scope| {
        let senders = (0..jobs).map(|_| sender.clone());
        let workers: Vec<_> = senders.map(|sender| scope.spawn(move || work(sender))).collect();
        drop(sender);
        receiver.into_iter().for_each(done);
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// The resources of one job: a runtime for its connections, and databases that are created in advance.
struct Worker<'a> {
    runtime: Runtime,
    monitor: BlockingMonitor,
    options: &'a SuiteOptions,
    /// The next database.
    ahead: Option<JoinHandle<Result<String, PostgresError>>>,
    drops: Vec<JoinHandle<Result<(), PostgresError>>>,
}

impl Worker<'_> {
    fn open(options: &SuiteOptions) -> Result<Worker<'_>, TestError> {
        let ahead = create(options);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let monitor = runtime.block_on(BlockingMonitor::connect(&options.server))?;
        Ok(Worker {
            runtime,
            monitor,
            options,
            ahead: Some(ahead),
            drops: Vec::new(),
        })
    }

    /// `more` says whether another specification will follow.
    fn run(
        &mut self,
        specification: &Specification,
        more: bool,
        transcript: &mut dyn Transcript,
    ) -> Result<(), TestError> {
        let Worker {
            runtime,
            monitor,
            options,
            ahead,
            drops,
        } = self;
        let SuiteOptions { server, interrupt, .. } = options;
        let creation = ahead.take().unwrap_or_else(|| create(options));
        let mut database = runtime.block_on(creation).map_err(std::io::Error::other)??;
        if more {
            *ahead = Some(create(options));
        }
        let result = runtime.block_on(async {
            if specification.wants_regression_database() {
                rename(server, &database, REGRESSION_DATABASE).await?;
                database = REGRESSION_DATABASE.to_owned();
            }
            let settings = Options {
                server,
                database: &database,
                settings: &options.settings,
                application: &format!("isolation/{}", specification.name),
                step_limit: options.step_limit,
            };
            tokio::select! {
                biased;
                () = interrupt.cancelled() => Err(TestError::Interrupted),
                result = tester::run(specification, &settings, monitor, transcript) => result,
            }
        });
        let server = server.clone();
        let dropping = async move { server.drop_scratch(&database).await };
        drops.push(options.background.spawn(dropping));
        result
    }

    /// Waits until all databases are gone.
    fn close(self) -> Result<(), TestError> {
        let Worker {
            runtime,
            options,
            ahead,
            drops,
            ..
        } = self;
        runtime.block_on(async {
            if let Some(unused) = ahead {
                let unused = unused.await.map_err(std::io::Error::other)??;
                options.server.drop_scratch(&unused).await?;
            }
            for dropped in drops {
                dropped.await.map_err(std::io::Error::other)??;
            }
            Ok(())
        })
    }
}

fn create(options: &SuiteOptions) -> JoinHandle<Result<String, PostgresError>> {
    let server = options.server.clone();
    options
        .background
        .spawn(async move { server.create_scratch_of_server().await })
}

async fn rename(server: &Server, from: &str, to: &str) -> Result<(), TestError> {
    let sql = format!(
        "ALTER DATABASE {} RENAME TO {}",
        quote_identifier(from),
        quote_identifier(to)
    );
    let reply = server
        .maintenance()
        .await?
        .simple(&sql)
        .await
        .map_err(PostgresError::from)?;
    expect(
        reply,
        "giving a scratch database the name that the specification expects",
    )?;
    Ok(())
}
