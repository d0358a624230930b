//! Schedules as people write them: which session runs next, and how far.
//!
//! A [`Schedule`] is a list of [`Entry`]s such as `worker-1 until read`. A [`PinnedFile`] keeps one in a file, with the
//! scenario that it is for and what it is expected to lead to.
//!
//! # How a schedule is followed
//!
//! [`Follower`] schedules sessions in the order of the entries. A released session resumes at once, of several the one
//! that began to wait first, unless a later entry says when it [`resumes`](Extent::Resumes).
//!
//! An entry that cannot be followed does not end the run:
//!
//! - While the session of an entry is blocked, its turn passes to the entries after it. When the session is released,
//!   it continues with its own entry before those.
//! - If a session ends before it reaches the step that its entry names, or has ended already, the next entry follows.
//!
//! Both are noted as a [`Departure`]. When the list is used up, or names no enabled session, the first enabled session
//! in the order of the scenario runs; so a session that no entry names runs at the end, by itself.

mod abbreviate;
mod entry;
mod file;
mod fit;
mod follow;
mod pinned;
mod relative;
mod resumption;

pub use entry::{Entry, Extent, Schedule};
pub use file::{Mistake, PinnedFile, ScheduleError};
pub use fit::FittedSchedule;
pub use follow::{Departure, DepartureKind, Follower};
pub use pinned::{Expectation, PinnedSchedule};
pub use relative::relative_path;
pub(crate) use resumption::{at_once, named};
