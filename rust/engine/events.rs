// SPDX-License-Identifier: GPL-2.0

//! What a pool reports: the reason for refusing a handle, and event counters.

#![forbid(unsafe_code)]

use super::handle_entry::Refused;
use crate::sys::atomic::{AtomicUsize, Ordering::Relaxed};

/// Why a handle was refused. The pool warns and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHandle {
    /// No object has this handle: it was never allocated, or it was freed.
    NotAllocated,
    /// The handle is of an earlier allocation, or its copy after the object was overwritten.
    Mismatch,
    /// The object is mapped, read or being freed.
    Mapped,
    /// This CPU has another object mapped.
    Nested,
    /// This CPU does not have the object mapped.
    NotMapped,
    /// Nobody reads the object.
    NotRead,
    /// The length is zero, or larger than the object.
    Length,
    /// The object has to be copied, and there is no buffer for it.
    NoBuffer,
}

impl BadHandle {
    pub(super) fn reason(self) -> &'static str {
        match self {
            BadHandle::NotAllocated => "is not allocated (freed twice?)",
            BadHandle::Mismatch => "does not match its object (freed twice, or overwritten?)",
            BadHandle::Mapped => "is freed while mapped or read",
            BadHandle::Nested => "is mapped with another object mapped on this CPU",
            BadHandle::NotMapped => "is unmapped, but not mapped on this CPU",
            BadHandle::NotRead => "is not being read",
            BadHandle::Length => "has not as many bytes, or none were asked for",
            BadHandle::NoBuffer => "needs a buffer, as it spans pages",
        }
    }
}

impl From<Refused> for BadHandle {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Free => BadHandle::NotAllocated,
            Refused::Busy | Refused::Moving | Refused::Full => BadHandle::Mapped,
            Refused::Stale | Refused::Moved => BadHandle::Mismatch,
        }
    }
}

/// Event counters, since the pool was created. Updated by compaction, migration and deferred frees.
#[derive(Default)]
pub struct Events {
    /// Pages that compaction freed for [`super::pool::Pool::compact`].
    pub pages_compacted_user: AtomicUsize,
    /// Pages that it freed because the kernel needed memory.
    pub pages_compacted_shrinker: AtomicUsize,
    /// Pages that it freed in the background.
    pub pages_compacted_background: AtomicUsize,
    /// How often the pool was compacted in the background.
    pub background_runs: AtomicUsize,
    /// How often that was put off because the number of objects changed fast.
    pub background_deferred: AtomicUsize,
    /// How long all of these runs took, in microseconds.
    pub background_us: AtomicUsize,
    /// Objects that compaction moved.
    pub objects_moved: AtomicUsize,
    /// How often compaction found an object mapped, being freed, or with its handle overwritten.
    pub objects_busy: AtomicUsize,
    /// Pages that the kernel migrated.
    pub pages_migrated: AtomicUsize,
    /// Migrations refused for an object that was mapped, being freed or had no valid handle.
    pub migrations_refused: AtomicUsize,
    /// How often freeing a zspage was left to the worker because one of its pages was locked.
    pub deferred_frees: AtomicUsize,
}

impl Events {
    /// Returns the number of pages that compaction freed, whoever asked for it.
    pub fn pages_compacted(&self) -> usize {
        self.pages_compacted_user
            .load(Relaxed)
            .wrapping_add(self.pages_compacted_shrinker.load(Relaxed))
            .wrapping_add(self.pages_compacted_background.load(Relaxed))
    }
}
