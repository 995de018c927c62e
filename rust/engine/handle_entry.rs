// SPDX-License-Identifier: GPL-2.0

//! The entry behind a handle: where the object is, and who may touch it.
//!
//! Each handle names one entry, for as long as the pool lives. The entry packs the object's location
//! together with a lock bit, so that whoever locks the entry also knows where the object is, and
//! that it stays there. That is why `map` needs neither the class lock nor anything that the pool
//! shares.
//!
//! ```text
//!   63     62       61........48 47 ............ 3   2     1..0
//! +------+--------+--------------+------------------+------+-------+
//! |  0   | moving |  generation  | physical address | lock | flags |   live
//! +------+--------+--------------+------------------+------+-------+
//! |  1   |   0    |  generation  |              next free          |   free
//! +------+--------+--------------+---------------------------------+
//! ```
//!
//! Objects begin at multiples of eight, so the lowest three bits of the address are free for
//! the lock and for flags.
//!
//! A handle has its generation where the entry has it, so that both are compared at once. Who asks
//! for a lock says of which generation: a stale handle never locks what belongs to another.
//!
//! What each state may become, and who may do it:
//!
//! ========  ========  =================================================================
//! from      to        by
//! ========  ========  =================================================================
//! free      live      `malloc`, holding the class lock, of an entry that the class owns
//! live      locked    `map` and `free` (wait, holding no lock)
//! live      moving    compaction and migration (try, holding the class lock)
//! moving    live      they, at another location or the same, still holding the class lock
//! locked    live      `map`; `free`, if it is refused after all
//! locked    free      `free`, holding the class lock
//! ========  ========  =================================================================
//!
//! An entry is waited for only by `map` and `free`, which hold no other lock then. Whoever holds a
//! class lock only tries it. Lockdep is told of both: see [`crate::sys::lockdep`].
//!
//! *Moving* is locked, too; it tells `free`, which gives up if somebody has the object mapped, that
//! it will not be for long.

#![forbid(unsafe_code)]

use crate::sys::atomic::{
    spin_loop, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::lockdep::{self, Acquire as Acquired};
use crate::sys::page::{PAGE_SHIFT, PAGE_SIZE, PFN_BITS};

const FREE: u64 = 1 << 63;
const MOVING: u64 = 1 << 62;
const ADDRESS_BITS: u32 = 48;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 8;
// See `ObjLocation::at`.
const SPANS: u64 = true as u64;
const HUGE: u64 = 2;
const LOCK: u64 = 4;

/// Bits of a handle's generation.
pub const GENERATION_BITS: u32 = 62 - ADDRESS_BITS;
const GENERATION_ONE: u64 = 1 << ADDRESS_BITS;
const GENERATION_MASK: u64 = MOVING - GENERATION_ONE;

const _: () = assert!(PFN_BITS + PAGE_SHIFT as u32 <= ADDRESS_BITS);
// Handles are entries of 64 bits, whatever C calls them.
const _: () = assert!(usize::BITS == 64);

/// The generation of a handle: how often its entry was used before, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

impl Generation {
    /// That in a handle.
    #[inline]
    pub const fn of(handle: u64) -> Self {
        Self(handle & GENERATION_MASK)
    }

    /// The first one. Zero is left out, so that no handle is zero.
    pub const FIRST: Self = Self(GENERATION_ONE);

    /// One of those that there are, for any number.
    pub const fn nth(n: u32) -> Self {
        match ((n as u64) << ADDRESS_BITS) & GENERATION_MASK {
            0 => Self::FIRST,
            bits => Self(bits),
        }
    }

    /// The bits of a handle that it is.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The next one, if this is not the last.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        match self.0.wrapping_add(GENERATION_ONE) & GENERATION_MASK {
            0 => None,
            bits => Some(Self(bits)),
        }
    }
}

/// Where an object is: its physical address, and what that means for mapping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjLocation(u64);

impl ObjLocation {
    /// The object that begins at `offset` of page `pfn`.
    ///
    /// `spans`: it goes on in the next page. `huge`: it takes all of its page, and its handle is
    /// kept elsewhere. Bits that do not fit are cut off; see [`PFN_BITS`].
    #[inline]
    pub fn new(pfn: usize, offset: usize, spans: bool, huge: bool) -> Self {
        Self::of_class(huge).at(((pfn as u64) << PAGE_SHIFT) | offset as u64, spans)
    }

    /// What the locations of all objects of a class have in common. See [`ObjLocation::new`].
    #[inline]
    pub fn of_class(huge: bool) -> Self {
        Self(if huge { HUGE } else { 0 })
    }

    /// With [`ObjLocation::of_class`]: the object of that class at physical address `address`.
    #[inline]
    pub fn at(self, address: u64, spans: bool) -> Self {
        Self(self.0 | (address & ADDRESS_MASK) | u64::from(spans))
    }

    fn in_entry(bits: u64) -> Self {
        Self(bits & (ADDRESS_MASK | SPANS | HUGE))
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

/// What a free entry remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeLink {
    /// Index of the next free entry in its chain.
    pub next: u32,
    /// Generation of the handle that names this entry next.
    pub generation: Generation,
}

impl FreeLink {
    fn encode(self) -> u64 {
        FREE | self.generation.0 | u64::from(self.next)
    }
}

/// Why an entry would not do what was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The entry is free: no object belongs to the handle.
    Free,
    /// The entry belongs to a handle of another generation.
    Stale,
    /// Somebody has the object mapped or frees it, or was faster.
    Busy,
    /// Somebody moves the object.
    Moving,
    /// The object is not where the caller believes.
    Moved,
}

/// The entry of one handle. See the module for its states.
///
/// # Invariants
///
/// A live entry of a pool's table holds the location of an object of that pool. Those who store one,
/// [`HandleEntry::record_obj`] and [`HandleEntry::moved_to`], have it from the object, under its class lock.
#[derive(Clone, Copy)]
pub struct HandleEntry<'a>(&'a AtomicU64);

impl<'a> HandleEntry<'a> {
    /// The entry in `memory`, which [`HandleEntry::relink`] makes a free one at first.
    #[inline]
    pub fn new(memory: &'a AtomicU64) -> Self {
        Self(memory)
    }

    /// The memory given to [`HandleEntry::new`].
    pub fn memory(self) -> &'a AtomicU64 {
        self.0
    }

    /// The link in a free entry.
    #[inline]
    pub fn link(self) -> Option<FreeLink> {
        let bits = self.0.load(Relaxed);
        (bits & FREE != 0).then_some(FreeLink {
            next: bits as u32,
            generation: Generation::of(bits),
        })
    }

    /// Makes an entry that the caller owns, or has locked and owns from now on, a free one with this
    /// link.
    #[inline]
    pub fn relink(self, link: FreeLink) {
        self.0.store(link.encode(), Relaxed);
    }

    /// Where the object is, if there is one. Stays true only while the class lock is held.
    #[inline]
    pub fn location(self) -> Option<ObjLocation> {
        let bits = self.0.load(Relaxed);
        (bits & FREE == 0).then_some(ObjLocation::in_entry(bits))
    }

    /// Turns a free entry live. The caller owns the entry and holds the class lock.
    ///
    /// Orders everything written before it (the handle behind the object) before any later lock.
    #[inline]
    pub fn record_obj(self, location: ObjLocation, generation: Generation) {
        self.0.store(location.0 | generation.0, Release);
    }

    /// Waits until nobody has the object mapped, moves it or frees it, and locks it.
    ///
    /// The caller holds no class lock, and cannot be preempted until the entry is unlocked.
    pub fn lock(self, generation: Generation) -> Result<ObjLocation, Refused> {
        loop {
            match self.try_lock_unless(generation, 0, Acquired::Waited) {
                Err(Refused::Busy | Refused::Moving) => spin_loop(),
                result => return result,
            }
        }
    }

    /// Locks the object, or says why not.
    #[inline(always)]
    pub fn try_lock(self, generation: Generation) -> Result<ObjLocation, Refused> {
        self.try_lock_unless(generation, 0, Acquired::Tried)
    }

    /// Locks an object that is in one page and has its index behind it, as most are. The reason that
    /// it gives for any other object means nothing. For `map`, which then waits.
    #[inline(always)]
    pub fn try_lock_plain(self, generation: Generation) -> Result<ObjLocation, Refused> {
        self.try_lock_unless(generation, SPANS | HUGE, Acquired::Waited)
    }

    #[inline(always)]
    fn try_lock_unless(
        self,
        generation: Generation,
        flags: u64,
        how: Acquired,
    ) -> Result<ObjLocation, Refused> {
        let bits = self.0.load(Relaxed);
        let unfit = FREE | LOCK | GENERATION_MASK | MOVING | flags;
        if (bits ^ generation.0) & unfit != 0 {
            return Err(Self::refusal(bits, generation));
        }
        match self.0.compare_exchange(bits, bits | LOCK, Acquire, Relaxed) {
            Ok(_) => {
                lockdep::entry_acquired(how);
                Ok(ObjLocation::in_entry(bits))
            }
            Err(bits) => Err(Self::refusal(bits, generation)),
        }
    }

    fn refusal(bits: u64, generation: Generation) -> Refused {
        if bits & FREE != 0 {
            Refused::Free
        } else if (bits ^ generation.0) & GENERATION_MASK != 0 {
            Refused::Stale
        } else if bits & MOVING != 0 {
            Refused::Moving
        } else {
            Refused::Busy
        }
    }

    /// Locks the object, which the caller is about to move, if it is at `location`.
    ///
    /// The caller holds the class lock until [`HandleEntry::moved_to`].
    #[inline]
    pub fn try_lock_to_move(self, location: ObjLocation) -> Result<(), Refused> {
        let bits = self.0.load(Relaxed);
        if bits & FREE != 0 || ObjLocation::in_entry(bits) != location {
            return Err(Refused::Moved);
        }
        if bits & LOCK != 0 {
            return Err(Refused::Busy);
        }
        self.0
            .compare_exchange(bits, bits | LOCK | MOVING, Acquire, Relaxed)
            .map(|_| ())
            .map_err(|_| Refused::Busy)
    }

    /// Ends [`HandleEntry::try_lock_to_move`] with the object at `location`.
    #[inline]
    pub fn moved_to(self, location: ObjLocation) {
        // The entry is ours, so it stays what it is.
        let generation = Generation::of(self.0.load(Relaxed));
        self.0.store(location.0 | generation.0, Release);
    }

    /// Ends [`HandleEntry::lock`]. Returns where the object is.
    #[inline]
    pub fn unlock(self) -> ObjLocation {
        lockdep::entry_released();
        let bits = self.0.load(Relaxed) & !LOCK;
        self.0.store(bits, Release);
        ObjLocation::in_entry(bits)
    }

    /// Where the object is; the caller has it locked.
    #[inline]
    pub fn held_location(self) -> ObjLocation {
        ObjLocation::in_entry(self.0.load(Relaxed))
    }
}
