// SPDX-License-Identifier: GPL-2.0

//! The word behind a handle: where the object is, and who may touch it.
//!
//! Each handle names one word, for as long as the pool lives. The word packs the object's place
//! together with a lock bit and a count of readers, so that pinning an object where it is and
//! learning where it is are one atomic step. That is why `map` needs neither the class lock nor
//! anything that the pool shares.
//!
//! ```text
//!  63   62..59  58..50  49 .................... 0
//! +----+-------+-------+-------------+-----------+
//! |lock|readers| class | object index|    pfn    |   live
//! +----+-------+-------+-------------+-----------+
//! | 0  |   0   | 0x1ff | generation  | next free |   free
//! +----+-------+-------+-------------+-----------+
//! ```
//!
//! What each state may become, and who may do it:
//!
//! =============  ==================  ==========================================================
//! from           to                  by
//! =============  ==================  ==========================================================
//! free           live                `malloc`, holding the class lock, of a word it owns
//! live           live, readers + 1   any reader ([`ObjWord::pin`])
//! readers + 1    live                that reader ([`ObjWord::unpin`])
//! live           locked              a writer (waits), compaction or migration (tries once,
//!                                    holding the class lock)
//! locked         live                whoever locked it; only compaction and migration may store
//!                                    another place
//! live           free                `free`, holding the class lock; fails if pinned or locked
//! =============  ==================  ==========================================================

#![forbid(unsafe_code)]

use super::geometry::{max_objs_per_zspage, MAX_CLASSES};
use crate::sys::atomic::{
    spin_loop, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::page::{PAGE_SIZE, PFN_BITS};

/// Bits for the index of an object in its zspage.
const INDEX_BITS: u32 = (max_objs_per_zspage(PAGE_SIZE) - 1).ilog2() + 1;
const CLASS_BITS: u32 = 9;
const READERS_BITS: u32 = 4;

const INDEX_SHIFT: u32 = PFN_BITS;
const CLASS_SHIFT: u32 = 50;
const READERS_SHIFT: u32 = CLASS_SHIFT + CLASS_BITS;

const LOCK: u64 = 1 << 63;
const READER: u64 = 1 << READERS_SHIFT;
const READERS_MASK: u64 = ((1 << READERS_BITS) - 1) << READERS_SHIFT;
const STATE_MASK: u64 = LOCK | READERS_MASK;
const PLACE_MASK: u64 = !STATE_MASK;

/// The class number that marks a free word.
const FREE_CLASS: u64 = (1 << CLASS_BITS) - 1;
const NEXT_BITS: u32 = 32;
/// Bits of a handle's generation: what a free word has left beside the class and the next index.
pub const GENERATION_BITS: u32 = CLASS_SHIFT - NEXT_BITS;
const GENERATION_MASK: u64 = (1 << GENERATION_BITS) - 1;

const _: () = assert!(INDEX_SHIFT + INDEX_BITS <= CLASS_SHIFT);
const _: () = assert!(READERS_SHIFT + READERS_BITS == 63);
const _: () = assert!(MAX_CLASSES <= FREE_CLASS as usize);
// Handles are words of 64 bits, whatever C calls them.
const _: () = assert!(usize::BITS == 64);

/// Where an object is: the page it begins in, its index in the zspage, and its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// Packs a place. Each part must fit, which [`crate::engine::geometry`] and the page frame
    /// numbers of the machine guarantee; bits that do not fit are cut off.
    pub fn new(pfn: usize, index: usize, class: usize) -> Self {
        Self(
            (pfn as u64 & ((1 << PFN_BITS) - 1))
                | (index as u64 & ((1 << INDEX_BITS) - 1)) << INDEX_SHIFT
                | (class as u64 & FREE_CLASS) << CLASS_SHIFT,
        )
    }

    /// Page frame number of the page in which the object begins.
    pub fn pfn(self) -> usize {
        (self.0 & ((1 << PFN_BITS) - 1)) as usize
    }

    /// Index of the object in its zspage.
    pub fn index(self) -> usize {
        (self.0 >> INDEX_SHIFT & ((1 << INDEX_BITS) - 1)) as usize
    }

    /// Index of the object's size class.
    pub fn class(self) -> usize {
        (self.0 >> CLASS_SHIFT & FREE_CLASS) as usize
    }

    /// The same object after the page it begins in was replaced.
    pub fn with_pfn(self, pfn: usize) -> Self {
        Self::new(pfn, self.index(), self.class())
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
        FREE_CLASS << CLASS_SHIFT
            | (u64::from(self.generation) & GENERATION_MASK) << NEXT_BITS
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
#[derive(Clone, Copy)]
pub struct ObjWord<'a>(&'a AtomicU64);

fn is_free(bits: u64) -> bool {
    bits >> CLASS_SHIFT & FREE_CLASS == FREE_CLASS
}

impl<'a> ObjWord<'a> {
    /// The word in `memory`, which [`ObjWord::relink`] makes a free one at first.
    pub fn new(memory: &'a AtomicU64) -> Self {
        Self(memory)
    }

    /// Where the word is; only to compare.
    pub fn address(self) -> *const () {
        (&raw const *self.0).cast()
    }

    /// The link in a free word.
    pub fn link(self) -> Option<FreeLink> {
        let bits = self.0.load(Relaxed);
        is_free(bits).then_some(FreeLink {
            next: bits as u32,
            generation: (bits >> NEXT_BITS & GENERATION_MASK) as u32,
        })
    }

    /// Makes a word that the caller owns a free one with this link.
    pub fn relink(self, link: FreeLink) {
        self.0.store(link.encode(), Relaxed);
    }

    /// Where the object is, if there is one. Stays true only while the class lock is held.
    pub fn place(self) -> Option<Place> {
        let bits = self.0.load(Relaxed);
        (!is_free(bits)).then_some(Place(bits & PLACE_MASK))
    }

    /// Turns a free word live. The caller owns the word and holds the class lock.
    ///
    /// Orders everything written before it (the in-object handle) before any later `pin`.
    pub fn publish(self, place: Place) {
        self.0.store(place.0, Release);
    }

    /// Waits until nobody writes or moves the object and keeps it so until [`ObjWord::unpin`].
    ///
    /// The caller may not sleep until then: compaction and `free` do not wait for readers, but
    /// writers do, spinning.
    pub fn pin(self) -> Result<Place, Refused> {
        loop {
            let bits = self.0.load(Relaxed);
            if is_free(bits) {
                return Err(Refused::Free);
            }
            if bits & LOCK == 0
                && bits & READERS_MASK != READERS_MASK
                && self
                    .0
                    .compare_exchange_weak(bits, bits + READER, Acquire, Relaxed)
                    .is_ok()
            {
                return Ok(Place(bits & PLACE_MASK));
            }
            spin_loop();
        }
    }

    /// Ends a [`ObjWord::pin`]. False, and nothing changed, if the word was not pinned.
    pub fn unpin(self) -> bool {
        let mut bits = self.0.load(Relaxed);
        while bits & READERS_MASK != 0 {
            match self
                .0
                .compare_exchange_weak(bits, bits - READER, Release, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => bits = now,
            }
        }
        false
    }

    /// Waits until nobody reads, writes or moves the object, and locks it.
    ///
    /// The caller may not sleep until [`ObjWord::unlock`].
    pub fn lock(self) -> Result<Place, Refused> {
        loop {
            match self.try_lock() {
                Err(Refused::Busy) => spin_loop(),
                result => return result,
            }
        }
    }

    /// Locks the object, or says why not.
    pub fn try_lock(self) -> Result<Place, Refused> {
        let bits = self.0.load(Relaxed);
        if is_free(bits) {
            return Err(Refused::Free);
        }
        if bits & STATE_MASK != 0 {
            return Err(Refused::Busy);
        }
        match self.0.compare_exchange(bits, bits | LOCK, Acquire, Relaxed) {
            Ok(_) => Ok(Place(bits & PLACE_MASK)),
            Err(_) => Err(Refused::Busy),
        }
    }

    /// Ends a [`ObjWord::lock`] or [`ObjWord::try_lock`] with the object at `place`.
    pub fn unlock(self, place: Place) {
        self.0.store(place.0, Release);
    }

    /// Whether a writer or a mover has the word locked.
    pub fn is_locked(self) -> bool {
        self.0.load(Relaxed) & LOCK != 0
    }

    /// Where a locked or pinned object is; the caller is who locked or pinned it.
    pub fn held_place(self) -> Place {
        Place(self.0.load(Relaxed) & PLACE_MASK)
    }

    /// Turns a live word, not pinned, not locked and at `place`, into a free one.
    ///
    /// The caller holds the class lock, and owns the word afterwards.
    pub fn retire(self, place: Place, link: FreeLink) -> Result<(), Refused> {
        // Acquire: what a writer stored before it let go is seen before the memory is reused.
        match self
            .0
            .compare_exchange(place.0, link.encode(), Acquire, Relaxed)
        {
            Ok(_) => Ok(()),
            Err(bits) if is_free(bits) => Err(Refused::Free),
            Err(bits) if bits & STATE_MASK != 0 => Err(Refused::Busy),
            Err(_) => Err(Refused::Moved),
        }
    }
}
