//! A session that is a closure of the process that explores.

use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;

/// What a closure does in one run, with the text of its error where it fails.
pub type Doing = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// A closure that is run as a session, and is given the address of its database.
#[derive(Clone)]
pub struct Closure(Arc<dyn Fn(String) -> Doing + Send + Sync>);

// it is called in tasks of its own, where a panic stays
impl UnwindSafe for Closure {}
impl RefUnwindSafe for Closure {}

impl Closure {
    pub(crate) fn new<F, D, E>(closure: F) -> Closure
    where
        F: Fn(String) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Closure(Arc::new(move |url| {
            let doing = closure(url);
            Box::pin(async move { doing.await.map_err(|error| with_causes(&*error.into())) })
        }))
    }

    /// Begins what it does with the database of this address.
    pub fn call(&self, url: String) -> Doing {
        (self.0)(url)
    }
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.contains(&further) {
            text += &format!(": {further}");
        }
        cause = error.source();
    }
    text
}

/// Two are the same if they are one.
impl PartialEq for Closure {
    fn eq(&self, other: &Closure) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closure")
    }
}
