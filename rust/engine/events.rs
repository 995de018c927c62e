// SPDX-License-Identifier: GPL-2.0

//! What a pool tells of itself: why it refused a handle, and what happened to it so far.

#![forbid(unsafe_code)]

use super::handle_entry::Refused;
use crate::sys::atomic::AtomicUsize;

/// Why a handle was refused. The pool reports it; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHandle {
    /// No such handle was ever given out, or its object was freed.
    NotAllocated,
    /// The handle is of an earlier allocation; or the object does not point back to it, as somebody
    /// wrote past its end.
    Mismatch,
    /// The object is mapped, or just then freed.
    Mapped,
    /// This CPU has an object mapped already.
    Nested,
    /// This CPU does not have the object mapped.
    NotMapped,
}

impl BadHandle {
    pub(super) fn reason(self) -> &'static str {
        match self {
            BadHandle::NotAllocated => "is not allocated (freed twice?)",
            BadHandle::Mismatch => "does not match its object (freed twice, or overwritten?)",
            BadHandle::Mapped => "is freed while mapped",
            BadHandle::Nested => "is mapped with another object mapped on this CPU",
            BadHandle::NotMapped => "is unmapped, but not mapped on this CPU",
        }
    }
}

impl From<Refused> for BadHandle {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Free => BadHandle::NotAllocated,
            Refused::Busy | Refused::Moving => BadHandle::Mapped,
            Refused::Stale | Refused::Moved => BadHandle::Mismatch,
        }
    }
}

/// What compaction and migration did since the pool was created. Written by those, and by `free` if
/// somebody has a page locked.
#[derive(Default)]
pub struct Events {
    /// Pages that compaction freed.
    pub pages_compacted: AtomicUsize,
    /// Objects that compaction moved.
    pub objects_moved: AtomicUsize,
    /// How often compaction found an object mapped or just then freed, or its handle overwritten.
    pub objects_busy: AtomicUsize,
    /// Pages that the kernel migrated.
    pub pages_migrated: AtomicUsize,
    /// Migrations refused because an object on the page was mapped or just then freed, or its
    /// handle overwritten.
    pub migrations_refused: AtomicUsize,
    /// How often a release was left to the worker because of a page lock.
    pub deferred_frees: AtomicUsize,
}
