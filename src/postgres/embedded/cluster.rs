//! The data folder of a new server: a copy of one that `initdb` made for an earlier server, else what it makes now.

use tokio_util::sync::CancellationToken;

use super::binaries::Binaries;
use super::cluster_cache::{ClusterCache, Unfinished};
use super::error::EmbeddedError;
use super::initdb::{self, initdb};
use super::log::Log;
use super::run_folder::RunFolder;

/// A data folder that no server has been started on.
pub(super) enum Cluster {
    Copied(ClusterCache),
    Made(Option<Unfinished>),
}

impl Cluster {
    /// Fills the data folder of `folder`.
    pub fn create(
        binaries: &Binaries,
        folder: &RunFolder,
        log: &Log,
        interrupt: &CancellationToken,
    ) -> Result<Cluster, EmbeddedError> {
        let arguments = initdb::arguments(binaries.version());
        let cache = ClusterCache::open(binaries, &arguments, folder.account()).ok();
        let data = folder.data_path();
        if let Some(cache) = cache {
            if cache.copy_to(&data).is_ok() {
                return Ok(Cluster::Copied(cache));
            }
            folder.clear_data()?;
            initdb(binaries, folder, log, interrupt)?;
            return Ok(Cluster::Made(cache.write(&data).ok()));
        }
        initdb(binaries, folder, log, interrupt)?;
        Ok(Cluster::Made(None))
    }

    /// A server has started on it: the next ones may start from a copy.
    pub fn accept(self) {
        if let Cluster::Made(Some(unfinished)) = self {
            // without it, the next server takes longer to start
            let _ = unfinished.finish();
        }
    }

    /// No server starts on it: the next one gets another.
    pub fn reject(self) {
        if let Cluster::Copied(cache) = self {
            cache.forget();
        }
    }
}
