// SPDX-License-Identifier: GPL-2.0

//! The word behind a handle: where the object is, and who may touch it.
//!
//! Each handle names one word, for as long as the pool lives. The word packs the object's place
//! together with a lock bit, so that whoever locks the word also knows where the object is, and
//! that it stays there. That is why `map` needs neither the class lock nor anything that the pool
//! shares.
//!
//! ```text
//!   63     62    60..52   51 ........................ 0
//! +------+------+-------+----------------------------+
//! |  0   | lock | class | physical address    | flags |   live
//! +------+------+-------+----------------------------+
//! |  1   |  1   |   0   | generation  |    next free  |   free
//! +------+------+-------+----------------------------+
//! ```
//!
//! Objects begin at multiples of eight, so the lowest three bits of the address are free for
//! flags. A free word has the lock bit set: whoever tries to lock it fails, and then sees why.
//!
//! What each state may become, and who may do it:
//!
//! ========  ========  =================================================================
//! from      to        by
//! ========  ========  =================================================================
//! free      live      `malloc`, holding the class lock, of a word that the class owns
//! live      locked    `map` (waits, holding no lock); compaction and migration (try,
//!                     holding the class lock)
//! locked    live      whoever locked it; only compaction and migration may store
//!                     another place, still holding the class lock
//! live      free      `free`, holding the class lock; fails if the word stays locked for long
//! ========  ========  =================================================================

#![forbid(unsafe_code)]

use super::geometry::MAX_CLASSES;
use crate::sys::atomic::{
    spin_loop, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::page::{PAGE_SHIFT, PAGE_SIZE, PFN_BITS};

// Not the highest bit: for any other, x86 compilers know to test and set it in one instruction.
const LOCK: u64 = 1 << 62;
const FREE: u64 = 1 << 63;
const CLASS_BITS: u32 = 9;
const CLASS_SHIFT: u32 = 52;
const ADDRESS_MASK: u64 = (1 << CLASS_SHIFT) - 8;
// See `Place::at`.
const SPANS: u64 = true as u64;
const HUGE: u64 = 2;

const NEXT_BITS: u32 = 32;
/// Bits of a handle's generation: what a free word has left beside the next index.
pub const GENERATION_BITS: u32 = CLASS_SHIFT - NEXT_BITS;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

const _: () = assert!(PFN_BITS + PAGE_SHIFT as u32 <= CLASS_SHIFT);
const _: () = assert!(MAX_CLASSES <= 1 << CLASS_BITS && CLASS_SHIFT + CLASS_BITS <= 62);
// Handles are words of 64 bits, whatever C calls them.
const _: () = assert!(usize::BITS == 64);

/// Where an object is: its physical address, its class, and what that means for mapping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// The object that begins at `offset` of page `pfn` and belongs to class `class`.
    ///
    /// `spans`: it goes on in the next page. `huge`: it takes all of its page, and its handle is
    /// kept elsewhere. Bits that do not fit are cut off; see [`PFN_BITS`].
    #[inline]
    pub fn new(pfn: usize, offset: usize, class: usize, spans: bool, huge: bool) -> Self {
        let address = ((pfn as u64) << PAGE_SHIFT) | offset as u64;
        Self(
            (address & ADDRESS_MASK)
                | ((class as u64 & ((1 << CLASS_BITS) - 1)) << CLASS_SHIFT)
                | if spans { SPANS } else { 0 }
                | if huge { HUGE } else { 0 },
        )
    }

    /// What the places of all objects of a class have in common. See [`Place::new`].
    #[inline]
    pub fn of_class(class: usize, huge: bool) -> Self {
        Self::new(0, 0, class, false, huge)
    }

    /// With [`Place::of_class`]: the object of that class at physical address `address`.
    #[inline]
    pub fn at(self, address: u64, spans: bool) -> Self {
        Self(self.0 | (address & ADDRESS_MASK) | u64::from(spans))
    }

    /// Physical address of the object.
    #[inline]
    pub fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// Page frame number of the page in which the object begins.
    #[inline]
    pub fn pfn(self) -> usize {
        ((self.0 & ADDRESS_MASK) >> PAGE_SHIFT) as usize
    }

    /// Where in that page it begins.
    #[inline]
    pub fn offset(self) -> usize {
        (self.0 & ADDRESS_MASK) as usize & (PAGE_SIZE - 1)
    }

    /// Index of the object's size class.
    #[inline]
    pub fn class(self) -> usize {
        (self.0 >> CLASS_SHIFT) as usize & ((1 << CLASS_BITS) - 1)
    }

    /// Whether the object is in one page, with its handle at its head: most are.
    #[inline]
    pub fn is_plain(self) -> bool {
        self.0 & (SPANS | HUGE) == 0
    }

    /// Whether the object goes on in the next page.
    #[inline]
    pub fn spans(self) -> bool {
        self.0 & SPANS != 0
    }

    /// Whether the object takes all of its page.
    #[inline]
    pub fn is_huge(self) -> bool {
        self.0 & HUGE != 0
    }
}

/// What a free word remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeLink {
    /// Index of the next free word in its chain.
    pub next: u32,
    /// Generation of the handle that names this word next.
    pub generation: u32,
}

impl FreeLink {
    fn encode(self) -> u64 {
        LOCK | FREE
            | ((u64::from(self.generation) & GENERATION_MASK) << NEXT_BITS)
            | u64::from(self.next)
    }
}

/// Why a word would not do what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The word is free: no object belongs to the handle.
    Free,
    /// Somebody has the object mapped, or is moving it.
    Busy,
    /// The object is not where, or not what, the caller believes.
    Moved,
}

/// The word of one handle. See the module for its states.
///
/// # Invariants
///
/// A live word of a pool's table holds the place of an object of that pool. Those who store one,
/// [`ObjWord::publish`] and [`ObjWord::unlock`], have it from the object, under its class lock.
#[derive(Clone, Copy)]
pub struct ObjWord<'a>(&'a AtomicU64);

impl<'a> ObjWord<'a> {
    /// The word in `memory`, which [`ObjWord::relink`] makes a free one at first.
    #[inline]
    pub fn new(memory: &'a AtomicU64) -> Self {
        Self(memory)
    }

    /// The memory given to [`ObjWord::new`].
    pub fn memory(self) -> &'a AtomicU64 {
        self.0
    }

    /// The link in a free word.
    #[inline]
    pub fn link(self) -> Option<FreeLink> {
        let bits = self.0.load(Relaxed);
        (bits & FREE != 0).then_some(FreeLink {
            next: bits as u32,
            generation: ((bits >> NEXT_BITS) & GENERATION_MASK) as u32,
        })
    }

    /// Makes a word that the caller owns a free one with this link.
    pub fn relink(self, link: FreeLink) {
        self.0.store(link.encode(), Relaxed);
    }

    /// Where the object is, if there is one. Stays true only while the class lock is held.
    #[inline]
    pub fn place(self) -> Option<Place> {
        let bits = self.0.load(Relaxed);
        (bits & FREE == 0).then_some(Place(bits & !LOCK))
    }

    /// Turns a free word live. The caller owns the word and holds the class lock.
    ///
    /// Orders everything written before it (the head of the object) before any later lock.
    #[inline]
    pub fn publish(self, place: Place) {
        self.0.store(place.0, Release);
    }

    /// Waits until nobody has the object mapped or moves it, and locks it.
    ///
    /// The caller holds no lock, and may not sleep until [`ObjWord::unlock`].
    #[inline]
    pub fn lock(self) -> Result<Place, Refused> {
        loop {
            match self.try_lock() {
                Err(Refused::Busy) => self.wait(),
                result => return result,
            }
        }
    }

    #[cold]
    fn wait(self) {
        // Reading only, as long as there is nothing to be had.
        while self.0.load(Relaxed) & (LOCK | FREE) == LOCK {
            spin_loop();
        }
    }

    /// Locks the object, or says why not.
    #[inline]
    pub fn try_lock(self) -> Result<Place, Refused> {
        if self.0.fetch_or(LOCK, Acquire) & LOCK == 0 {
            // The word is ours, so it stays what it is.
            return Ok(Place(self.0.load(Relaxed) & !LOCK));
        }
        if self.0.load(Relaxed) & FREE != 0 {
            Err(Refused::Free)
        } else {
            Err(Refused::Busy)
        }
    }

    /// Ends a lock with the object at `place`.
    #[inline]
    pub fn unlock(self, place: Place) {
        self.0.store(place.0, Release);
    }

    /// Ends a lock with the object where it was. Returns the place.
    #[inline]
    pub fn unlock_in_place(self) -> Place {
        let place = self.held_place();
        self.unlock(place);
        place
    }

    /// Where the object is; the caller has it locked.
    #[inline]
    pub fn held_place(self) -> Place {
        Place(self.0.load(Relaxed) & !LOCK)
    }

    /// Turns a live word, not locked and at `place`, into a free one.
    ///
    /// The caller holds the class lock, and owns the word afterwards.
    #[inline]
    pub fn retire(self, place: Place, link: FreeLink) -> Result<(), Refused> {
        // Acquire: what was written under the lock is seen before the memory is used again.
        match self
            .0
            .compare_exchange(place.0, link.encode(), Acquire, Relaxed)
        {
            Ok(_) => Ok(()),
            Err(bits) if bits & FREE != 0 => Err(Refused::Free),
            Err(bits) if bits & LOCK != 0 => Err(Refused::Busy),
            Err(_) => Err(Refused::Moved),
        }
    }
}
