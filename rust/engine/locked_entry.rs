// SPDX-License-Identifier: GPL-2.0

//! Entries that this context has locked, and what the lock keeps in place: the object, its pages and
//! its zspage.

use core::ops::Deref;

use super::handle_entry::{Generation, HandleEntry, ObjLocation, Refused};
use super::zspage::Zspage;
use crate::sys::page::ZsPage;

/// An entry that this context has locked, for reading or exclusively, or by the lock of its class.
///
/// # Invariants
///
/// The entry is in the table of a pool. It is live, and locked by the owner of this value, or it is
/// in the sheaf of a class whose lock is held for `'a`. `location` is the one that it holds. So an
/// object is there. It is neither moved nor freed, and its pages stay in its zspage.
pub(super) struct HeldEntry<'a> {
    entry: HandleEntry<'a>,
    location: ObjLocation,
}

impl HeldEntry<'_> {
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
        // link between them: whoever moves either page locks the entry exclusively first.
        unsafe { self.page().next_of_object() }
    }
}

/// An entry that is locked exclusively.
#[must_use = "the entry stays locked"]
pub(super) struct LockedEntry<'a>(HeldEntry<'a>);

impl<'a> LockedEntry<'a> {
    /// Locks an entry of a pool's table: see [`HandleEntry::try_lock`].
    #[inline]
    pub(super) fn try_lock(
        entry: HandleEntry<'a>,
        generation: Generation,
    ) -> Result<Self, Refused> {
        let location = entry.try_lock(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self(HeldEntry { entry, location }))
    }

    /// Unlocks the entry.
    #[inline]
    pub(super) fn unlock(self) {
        self.0.entry.unlock();
    }

    /// Returns the entry, which stays locked.
    #[inline]
    pub(super) fn into_entry(self) -> HandleEntry<'a> {
        self.0.entry
    }
}

impl<'a> Deref for LockedEntry<'a> {
    type Target = HeldEntry<'a>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// An entry in the sheaf of a class, whose lock is held.
pub(super) struct SheafEntry<'a> {
    held: HeldEntry<'a>,
    generation: Generation,
}

impl<'a> SheafEntry<'a> {
    /// Wraps an entry in the sheaf of a class. Returns `None` if it is in no sheaf.
    ///
    /// # Safety
    ///
    /// If the entry is in a sheaf, the lock of its class must be held for `'a`.
    #[inline]
    pub(super) unsafe fn new(entry: HandleEntry<'a>) -> Option<Self> {
        let (location, generation) = entry.in_sheaf()?;
        // INVARIANT: `entry` is in a sheaf, whose class is locked for `'a` (safety requirement).
        let held = HeldEntry { entry, location };
        Some(Self { held, generation })
    }

    /// Returns the generation of the handle that was freed.
    #[inline]
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// Makes the entry live again.
    pub(super) fn restore(self) {
        self.held.entry.restore();
    }

    /// Returns the entry, which is to be freed.
    #[inline]
    pub(super) fn into_entry(self) -> HandleEntry<'a> {
        self.held.entry
    }
}

impl<'a> Deref for SheafEntry<'a> {
    type Target = HeldEntry<'a>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.held
    }
}

/// An entry that is locked for reading: its object is being read, written or mapped.
///
/// Dropping it leaves the entry locked, as `map` and `obj_read_begin` do.
#[must_use = "the entry stays locked"]
pub(super) struct ReadEntry<'a>(HeldEntry<'a>);

impl<'a> ReadEntry<'a> {
    /// Locks an entry of a pool's table: see [`HandleEntry::try_read_lock_plain`].
    #[inline]
    pub(super) fn try_lock_plain(
        entry: HandleEntry<'a>,
        generation: Generation,
    ) -> Result<Self, Refused> {
        let location = entry.try_read_lock_plain(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self(HeldEntry { entry, location }))
    }

    /// Locks an entry of a pool's table: see [`HandleEntry::try_read_lock_first`].
    #[inline]
    pub(super) fn try_lock_first(
        entry: HandleEntry<'a>,
        generation: Generation,
    ) -> Result<Self, Refused> {
        let location = entry.try_read_lock_first(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self(HeldEntry { entry, location }))
    }

    /// Locks an entry of a pool's table, waiting for those who free or move its object: see
    /// [`HandleEntry::read_lock`].
    pub(super) fn lock(entry: HandleEntry<'a>, generation: Generation) -> Result<Self, Refused> {
        let location = entry.read_lock(generation)?;
        // INVARIANT: `entry` is locked from here on, and holds `location`.
        Ok(Self(HeldEntry { entry, location }))
    }

    /// Returns the entry that a [`ReadEntry`] was made of.
    ///
    /// # Safety
    ///
    /// A `ReadEntry` of `entry` must have been dropped, and the entry not have been unlocked for it.
    /// This must be called once for it.
    #[inline]
    pub(super) unsafe fn resume(entry: HandleEntry<'a>) -> Self {
        // INVARIANT: The entry is still locked (safety requirement).
        Self(HeldEntry {
            entry,
            location: entry.held_location(),
        })
    }

    /// Unlocks the entry.
    #[inline]
    pub(super) fn unlock(self) {
        self.0.entry.read_unlock_held();
    }
}

impl<'a> Deref for ReadEntry<'a> {
    type Target = HeldEntry<'a>;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
