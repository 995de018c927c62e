// SPDX-License-Identifier: GPL-2.0

//! A locked entry, and what its lock keeps in place: the object, its pages and its zspage.

use super::handle_entry::{Generation, HandleEntry, ObjLocation, Refused};
use super::zspage::Zspage;
use crate::sys::page::ZsPage;

/// An entry that this context has locked.
///
/// Dropping it leaves the entry locked, as `map` does.
///
/// # Invariants
///
/// The entry is in the table of a pool, live, and locked by the owner of this value. `location` is
/// the one that it holds. So an object is there. It is neither moved nor freed, and its pages stay
/// in its zspage.
#[must_use = "the entry stays locked"]
pub(super) struct LockedEntry<'a> {
    entry: HandleEntry<'a>,
    location: ObjLocation,
}

impl<'a> LockedEntry<'a> {
    /// Locks an entry of a pool's table: see [`HandleEntry::try_lock`].
    #[inline(always)]
    pub(super) fn try_lock(
        entry: HandleEntry<'a>,
        generation: Generation,
    ) -> Result<Self, Refused> {
        let location = entry.try_lock(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self { entry, location })
    }

    /// Locks an entry of a pool's table: see [`HandleEntry::try_lock_plain`].
    #[inline(always)]
    pub(super) fn try_lock_plain(
        entry: HandleEntry<'a>,
        generation: Generation,
    ) -> Result<Self, Refused> {
        let location = entry.try_lock_plain(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self { entry, location })
    }

    /// Waits for the lock of an entry of a pool's table: see [`HandleEntry::lock`].
    pub(super) fn lock(entry: HandleEntry<'a>, generation: Generation) -> Result<Self, Refused> {
        let location = entry.lock(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self { entry, location })
    }

    /// Returns the entry that a [`LockedEntry`] was made of.
    ///
    /// # Safety
    ///
    /// A `LockedEntry` of `entry` must have been dropped, and the entry not have been unlocked.
    /// This must be called once for it.
    #[inline]
    pub(super) unsafe fn resume(entry: HandleEntry<'a>) -> Self {
        // INVARIANT: The entry is still locked (safety requirement).
        Self {
            entry,
            location: entry.held_location(),
        }
    }

    /// Unlocks the entry.
    #[inline]
    pub(super) fn unlock(self) {
        self.entry.unlock();
    }

    /// Returns the entry, which stays locked.
    #[inline]
    pub(super) fn into_entry(self) -> HandleEntry<'a> {
        self.entry
    }

    /// Returns the location of the object.
    #[inline]
    pub(super) fn location(&self) -> ObjLocation {
        self.location
    }

    /// Returns the page that the object begins on.
    #[inline]
    pub(super) fn page(&self) -> ZsPage<'_> {
        // SAFETY: By the type invariants, the object is on this page, which stays in its zspage.
        // The number is the page's: `Object` took it from `ZsPage::pfn` for the location.
        unsafe { ZsPage::from_pfn(self.location.pfn()) }
    }

    /// Returns the zspage of the object.
    #[inline]
    pub(super) fn zspage(&self) -> Option<&Zspage> {
        Zspage::of(self.page())
    }

    /// Returns the page that the object continues on, or `None` if it is on one page.
    pub(super) fn next_page(&self) -> Option<ZsPage<'_>> {
        if !self.location.spans() {
            return None;
        }
        // SAFETY: By the type invariants, both pages of the object stay in its zspage. So does the
        // link between them: whoever moves either page locks the entry first.
        unsafe { self.page().next_of_object() }
    }
}
