// SPDX-License-Identifier: GPL-2.0

//! The entry of a handle: the location of its object, and a lock.
//!
//! Each handle names one entry. The entry packs the location of the object and its lock into one
//! word. Locking the entry therefore returns the location and keeps the object there. This is why
//! readers take neither the class lock nor any lock of the pool.
//!
//! ```text
//!   63..62     61........48   47 ............ 3   2..1     0
//! +---------+--------------+------------------+-------+-------+
//! | readers |  generation  | physical address | state | spans |   live
//! +---------+--------------+------------------+-------+-------+
//! |    0    |  generation  |    next free     |  01   |   0   |   free
//! +---------+--------------+------------------+-------+-------+
//! |    1    |  generation  | physical address |  01   | spans |   free, in the sheaf of its class
//! +---------+--------------+------------------+-------+-------+
//! ```
//!
//! On arm64 kernels with physical addresses of 52 bits, the generation has the upper 10 bits only.
//!
//! Objects are aligned to eight bytes. The lowest three bits of an address are used for the state and
//! for whether the object spans two pages. A huge object has that flag, too, and offset 0 in its
//! page, where no other object spans pages.
//!
//! A handle has its generation in the same bits as its entry, so one comparison checks it. A lock
//! operation names the generation that it expects, so a stale handle never locks a reused entry.
//!
//! The lock is a reader-writer lock. Readers count themselves in the entry, and may sleep. Whoever
//! frees or moves the object locks the entry exclusively, and does not sleep. The state says so, and
//! whether the object is *moving*. Then there are no readers.
//!
//! State transitions:
//!
//! ============  ============  ===============================================================
//! from          to            by
//! ============  ============  ===============================================================
//! free          live          `malloc`, of an entry that the class owns; holds the class lock
//! in sheaf      live          `malloc`, with the next generation; holds the class lock
//! live          read-locked   readers and writers of the object, and `map`
//! read-locked   live          the last of these
//! live          moving        compaction and migration; they trylock, holding the class lock
//! moving        live          compaction and migration, still holding the class lock
//! live          locked        `free`; it holds no lock
//! locked        live          `free`, if it refuses the handle
//! locked        in sheaf      `free`, holding the class lock
//! in sheaf      free          `free` and others that empty the sheaf; they hold the class lock
//! in sheaf      live          the same, if the handle after the object was overwritten
//! ============  ============  ===============================================================
//!
//! An entry in a sheaf is free to all but the holder of the class lock: see [`super::sheaf`].
//!
//! Nobody waits for readers: compaction and migration leave the object alone, and `free` refuses
//! it. Only a reader too many waits, as the field holds [`MAX_READERS`]. Readers wait for an
//! exclusive lock, which is short, and `free` waits for a move. Both hold no other lock of the pool
//! then. Lockdep knows that: see [`crate::sys::lockdep`].

#![forbid(unsafe_code)]

use crate::sys::atomic::{
    spin_loop, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::lockdep;
use crate::sys::page::{PAGE_SHIFT, PAGE_SIZE, PFN_BITS};

const ADDRESS_BITS: u32 = PFN_BITS + PAGE_SHIFT as u32;
const ADDRESS_MASK: u64 = (1 << ADDRESS_BITS) - 8;
const OFFSET_MASK: u64 = PAGE_SIZE as u64 - 8;
// See `ObjLocation::at`.
const SPANS: u64 = true as u64;

// The state is zero if the entry is live and not locked exclusively.
const STATE_MASK: u64 = 6;
const FREE: u64 = 2;
const LOCKED: u64 = 4;
const MOVING: u64 = 6;

// The highest bits, so that a sum or a difference that does not fit overflows.
const READER: u64 = 1 << 62;
const READERS_MASK: u64 = READER.wrapping_neg();

// The state and the readers. Zero if nobody has the entry locked.
const LOCK_MASK: u64 = STATE_MASK | READERS_MASK;
// A free entry never has a reader, so this stands for one whose object is in a sheaf.
const IN_SHEAF: u64 = FREE | READER;

/// The number of readers that an object can have at once.
pub const MAX_READERS: usize = (READERS_MASK / READER) as usize;

// Of the next free entry, in a free one.
const NEXT_SHIFT: u32 = 3;

/// Number of bits of a generation.
pub const GENERATION_BITS: u32 = READER.trailing_zeros() - ADDRESS_BITS;
const GENERATION_ONE: u64 = 1 << ADDRESS_BITS;
const GENERATION_MASK: u64 = READER - GENERATION_ONE;

const _: () = assert!(GENERATION_BITS >= 10);
// A handle has 64 bits, as an entry has, and is an `unsigned long` in C.
const _: () = assert!(usize::BITS == 64);

/// The generation of a handle. It changes with every reuse of its entry, and wraps around.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(u64);

impl Generation {
    /// Extracts the generation of a handle.
    #[inline]
    pub const fn of(handle: u64) -> Self {
        Self(handle & GENERATION_MASK)
    }

    /// The first generation. Zero is left out, so that no handle is zero.
    pub const FIRST: Self = Self(GENERATION_ONE);

    /// Maps any number to a generation.
    pub const fn nth(n: u32) -> Self {
        match ((n as u64) << ADDRESS_BITS) & GENERATION_MASK {
            0 => Self::FIRST,
            bits => Self(bits),
        }
    }

    /// Returns the generation in its place in a handle.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the next generation, or `None` after the last.
    #[inline]
    pub const fn next(self) -> Option<Self> {
        match self.0.wrapping_add(GENERATION_ONE) & GENERATION_MASK {
            0 => None,
            bits => Some(Self(bits)),
        }
    }
}

/// The location of an object: its physical address, and flags of its class and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjLocation(u64);

impl ObjLocation {
    /// Returns the location of the object that begins at `offset` in page `pfn`.
    ///
    /// `spans`: the object continues on the next page of the chain. `huge`: the object takes the
    /// whole page, and no handle follows it. Bits that do not fit are cut off; see [`PFN_BITS`].
    #[inline]
    pub fn new(pfn: usize, offset: usize, spans: bool, huge: bool) -> Self {
        Self::of_class(huge).at(((pfn as u64) << PAGE_SHIFT) | offset as u64, spans)
    }

    /// Returns the bits that all locations of a class have in common. See [`ObjLocation::new`].
    #[inline]
    pub fn of_class(huge: bool) -> Self {
        Self(if huge { SPANS } else { 0 })
    }

    /// Adds a physical address and the `spans` flag to the bits of [`ObjLocation::of_class`].
    #[inline]
    pub fn at(self, address: u64, spans: bool) -> Self {
        Self(self.0 | (address & ADDRESS_MASK) | u64::from(spans))
    }

    fn in_entry(bits: u64) -> Self {
        Self(bits & (ADDRESS_MASK | SPANS))
    }

    /// Returns the physical address of the object.
    #[inline]
    pub fn address(self) -> u64 {
        self.0 & ADDRESS_MASK
    }

    /// Returns the frame number of the page that the object begins on.
    #[inline]
    pub fn pfn(self) -> usize {
        ((self.0 & ADDRESS_MASK) >> PAGE_SHIFT) as usize
    }

    /// Returns the offset of the object in that page, in bytes.
    #[inline]
    pub fn offset(self) -> usize {
        (self.0 & ADDRESS_MASK) as usize & (PAGE_SIZE - 1)
    }

    /// Returns whether the object continues on the next page.
    #[inline]
    pub fn spans(self) -> bool {
        self.0 & SPANS != 0 && self.0 & OFFSET_MASK != 0
    }

    /// Returns whether the object takes a whole page.
    #[inline]
    pub fn is_huge(self) -> bool {
        self.0 & (SPANS | OFFSET_MASK) == SPANS
    }
}

/// The contents of a free entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeLink {
    /// Index of the next free entry in its chain.
    pub next: u32,
    /// Generation of the next handle that names this entry.
    pub generation: Generation,
}

impl FreeLink {
    fn encode(self) -> u64 {
        FREE | self.generation.0 | (u64::from(self.next) << NEXT_SHIFT)
    }
}

/// Why an entry was not locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The entry is free: no object has this handle.
    Free,
    /// The entry belongs to a handle of another generation.
    Stale,
    /// The object is being read or freed, or the entry changed under the compare-and-exchange.
    Busy,
    /// The object has [`MAX_READERS`].
    Full,
    /// The object is being moved.
    Moving,
    /// The object is not at the expected location.
    Moved,
}

/// The entry of one handle. The module documentation describes its states.
///
/// # Invariants
///
/// A live entry in the table of a pool holds the location of an object of that pool.
/// [`HandleEntry::record_obj`] and [`HandleEntry::moved_to`] store a location. Their callers take
/// it from the object, under its class lock.
#[derive(Clone, Copy)]
pub struct HandleEntry<'a>(&'a AtomicU64);

impl<'a> HandleEntry<'a> {
    /// Wraps the entry in `memory`. [`HandleEntry::relink`] initialises it.
    #[inline]
    pub fn new(memory: &'a AtomicU64) -> Self {
        Self(memory)
    }

    /// Returns the memory given to [`HandleEntry::new`].
    pub fn memory(self) -> &'a AtomicU64 {
        self.0
    }

    /// Returns the contents of a free entry, or `None` if it is live or in a sheaf.
    #[inline]
    pub fn link(self) -> Option<FreeLink> {
        let bits = self.0.load(Relaxed);
        (bits & LOCK_MASK == FREE).then_some(FreeLink {
            next: (bits >> NEXT_SHIFT) as u32,
            generation: Generation::of(bits),
        })
    }

    /// Makes an entry free and stores `link`. The caller owns the entry: it is new, in the caller's
    /// chain of free entries, or locked by the caller.
    #[inline]
    pub fn relink(self, link: FreeLink) {
        self.0.store(link.encode(), Relaxed);
    }

    /// Returns the location of the object, or `None` if the entry is free. The object may move at
    /// any time unless the class lock is held.
    #[inline]
    pub fn location(self) -> Option<ObjLocation> {
        let bits = self.0.load(Relaxed);
        (bits & STATE_MASK != FREE).then_some(ObjLocation::in_entry(bits))
    }

    /// Makes a free entry live. The caller owns the entry and holds the class lock.
    ///
    /// The release store orders earlier writes, such as the handle after the object, before any
    /// later lock of the entry.
    #[inline]
    pub fn record_obj(self, location: ObjLocation, generation: Generation) {
        self.0.store(location.0 | generation.0, Release);
    }

    /// Counts a reader, after waiting until the object is neither being moved nor freed. Does not
    /// wait for other readers: see [`Refused::Full`].
    ///
    /// Context: preemption is off. No class lock may be held.
    pub fn read_lock(self, generation: Generation) -> Result<ObjLocation, Refused> {
        loop {
            match self.try_read_lock(generation, 0) {
                Err(Refused::Busy | Refused::Moving) => spin_loop(),
                result => return result,
            }
        }
    }

    /// Counts the first reader of an object that neither spans pages nor is huge. For other objects
    /// the error is meaningless. On any error the caller retries with [`HandleEntry::read_lock`].
    #[inline]
    pub fn try_read_lock_plain(self, generation: Generation) -> Result<ObjLocation, Refused> {
        self.try_read_lock(generation, READERS_MASK | SPANS)
    }

    /// Counts the first reader of any object. On any error the caller retries with
    /// [`HandleEntry::read_lock`].
    #[inline]
    pub fn try_read_lock_first(self, generation: Generation) -> Result<ObjLocation, Refused> {
        self.try_read_lock(generation, READERS_MASK)
    }

    // Counts a reader unless one of the bits of `unfit` is set.
    #[inline]
    fn try_read_lock(self, generation: Generation, unfit: u64) -> Result<ObjLocation, Refused> {
        // As far as anybody waits, this may wait.
        lockdep::entry_awaited();
        let bits = self.0.load(Relaxed);
        if (bits ^ generation.0) & (STATE_MASK | GENERATION_MASK | unfit) != 0 {
            return Err(Self::refusal(bits, generation));
        }
        let more = if unfit & READERS_MASK != 0 {
            bits | READER
        } else {
            bits.checked_add(READER).ok_or(Refused::Full)?
        };
        self.0
            .compare_exchange(bits, more, Acquire, Relaxed)
            .map(ObjLocation::in_entry)
            .map_err(|bits| Self::refusal(bits, generation))
    }

    /// Ends a reader. Returns an error, and changes nothing, if the object has none.
    #[inline]
    pub fn read_unlock(self, generation: Generation) -> Result<(), Refused> {
        let mut bits = self.0.load(Relaxed);
        loop {
            if (bits ^ generation.0) & (STATE_MASK | GENERATION_MASK) != 0 {
                return Err(Self::refusal(bits, generation));
            }
            let fewer = bits.checked_sub(READER).ok_or(Refused::Busy)?;
            match self.0.compare_exchange(bits, fewer, Release, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => bits = now,
            }
        }
    }

    /// Ends a reader that the caller has counted. Returns false, and changes nothing, if somebody else
    /// has ended it.
    #[inline]
    pub fn read_unlock_held(self) -> bool {
        let counted = self.0.fetch_sub(READER, Release) >= READER;
        if !counted {
            self.0.fetch_add(READER, Relaxed);
        }
        counted
    }

    /// Locks the entry exclusively, in order to free its object. Or returns the reason for refusing.
    ///
    /// Context: preemption is off until the entry is unlocked. No class lock may be held.
    #[inline]
    pub fn try_lock(self, generation: Generation) -> Result<ObjLocation, Refused> {
        let bits = self.0.load(Relaxed);
        let unfit = LOCK_MASK | GENERATION_MASK;
        if (bits ^ generation.0) & unfit != 0 {
            return Err(Self::refusal(bits, generation));
        }
        match self
            .0
            .compare_exchange(bits, bits | LOCKED, Acquire, Relaxed)
        {
            Ok(_) => {
                lockdep::entry_acquired();
                Ok(ObjLocation::in_entry(bits))
            }
            Err(bits) => Err(Self::refusal(bits, generation)),
        }
    }

    fn refusal(bits: u64, generation: Generation) -> Refused {
        if bits & STATE_MASK == FREE {
            Refused::Free
        } else if (bits ^ generation.0) & GENERATION_MASK != 0 {
            Refused::Stale
        } else if bits & STATE_MASK == MOVING {
            Refused::Moving
        } else {
            Refused::Busy
        }
    }

    /// Locks the entry in order to move its object, if that is at `location`.
    ///
    /// The caller holds the class lock until it calls [`HandleEntry::moved_to`]. Nobody else looks at
    /// an entry in a sheaf, so that is not changed.
    #[inline]
    pub fn try_lock_to_move(self, location: ObjLocation) -> Result<(), Refused> {
        let bits = self.0.load(Relaxed);
        if bits & LOCK_MASK == FREE || ObjLocation::in_entry(bits) != location {
            return Err(Refused::Moved);
        }
        match bits & LOCK_MASK {
            0 => {}
            IN_SHEAF => return Ok(()),
            _ => return Err(Refused::Busy),
        }
        self.0
            .compare_exchange(bits, bits | MOVING, Acquire, Relaxed)
            .map(|_| ())
            .map_err(|_| Refused::Busy)
    }

    /// Unlocks an entry that [`HandleEntry::try_lock_to_move`] locked, with the new location.
    #[inline]
    pub fn moved_to(self, location: ObjLocation) {
        // The caller has the entry locked, so nobody else changes it.
        let bits = self.0.load(Relaxed);
        let kept = match bits & STATE_MASK {
            FREE => GENERATION_MASK | LOCK_MASK,
            _ => GENERATION_MASK,
        };
        self.0.store(location.0 | (bits & kept), Release);
    }

    /// Frees an entry that [`HandleEntry::try_lock`] locked, for the sheaf of its class. The entry
    /// keeps the location and the generation. The caller holds the class lock.
    #[inline]
    pub fn to_sheaf(self) {
        lockdep::entry_released();
        let bits = self.0.load(Relaxed);
        self.0.store(bits ^ (LOCKED | IN_SHEAF), Relaxed);
    }

    /// Makes an entry from a sheaf live, with the next generation, which it returns. The caller holds
    /// the class lock. A sheaf keeps no entry with the last generation.
    ///
    /// Returns `None`, and changes nothing, if the entry is not in a sheaf.
    #[inline]
    pub fn reuse(self) -> Option<Generation> {
        let bits = self.0.load(Relaxed);
        if bits & LOCK_MASK != IN_SHEAF {
            return None;
        }
        let bits = (bits ^ IN_SHEAF).wrapping_add(GENERATION_ONE);
        self.0.store(bits, Release);
        Some(Generation::of(bits))
    }

    /// Returns the location of the object and the generation of the handle that was freed, if the
    /// entry is in a sheaf.
    #[inline]
    pub fn in_sheaf(self) -> Option<(ObjLocation, Generation)> {
        let bits = self.0.load(Relaxed);
        (bits & LOCK_MASK == IN_SHEAF)
            .then_some((ObjLocation::in_entry(bits), Generation::of(bits)))
    }

    /// Makes an entry from a sheaf live again, with its old generation: the object is not freed. The
    /// caller holds the class lock.
    pub fn restore(self) {
        let bits = self.0.load(Relaxed);
        if bits & LOCK_MASK == IN_SHEAF {
            self.0.store(bits ^ IN_SHEAF, Release);
        }
    }

    /// Unlocks an entry that [`HandleEntry::try_lock`] locked. Returns the location of the object.
    #[inline]
    pub fn unlock(self) -> ObjLocation {
        lockdep::entry_released();
        let bits = self.0.load(Relaxed) & !STATE_MASK;
        self.0.store(bits, Release);
        ObjLocation::in_entry(bits)
    }

    /// Returns the location of the object of an entry that the caller has locked, for reading or
    /// exclusively.
    #[inline]
    pub fn held_location(self) -> ObjLocation {
        ObjLocation::in_entry(self.0.load(Relaxed))
    }
}
