// SPDX-License-Identifier: GPL-2.0

//! Handles, and the table of their entries.
//!
//! A handle is an index into a three-level table and a generation, not an address. Looking up any
//! number reads only memory that the pool owns. The entry of a freed handle has another generation.
//!
//! The table is read under RCU: [`HandleTable::entries`] takes a read-side section, and entries
//! found in it are valid until it ends. The table grows when a class needs entries and none is
//! unused. When all entries are unused, [`HandleTable::trim`] frees all leaves but the first.
//!
//! Each class owns some free entries, so that most calls of `malloc` write nothing that classes
//! share. A class takes entries from the table, and returns them, in batches.

#![forbid(unsafe_code)]

use core::cell::Cell;

use super::handle_entry::{FreeLink, Generation, HandleEntry, GENERATION_BITS};
use crate::sys::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sys::boxed::{Retired, ZeroBox};
use crate::sys::prelude::*;
use crate::sys::rcu_box::RcuBox;
use crate::sys::sched::RcuRead;
use crate::sys::spinlock::{LockClass, SpinLock};

const LEAF_BITS: usize = 9;
const LEAF_WORDS: usize = 1 << LEAF_BITS;
const MIDDLE_WORDS: usize = LEAF_WORDS << LEAF_BITS;
const ROOT_WORDS: usize = 1 << 10;
/// The most handles that a pool can have at once: 268 million.
pub const MAX_HANDLES: usize = ROOT_WORDS << (2 * LEAF_BITS);
const NO_INDEX: u32 = u32::MAX;

/// How many leaves [`HandleTable::trim`] detaches per lock hold.
const TRIM_BATCH: usize = 16;

/// Low bits of a handle that are always zero: C handles are aligned pointers.
const ALIGN_BITS: u32 = 3;

// The two highest bits of a handle are zero, and the index fits below the generation. The state of an
// entry is no part of it.
const _: () = assert!(Generation::of(u64::MAX).bits().leading_zeros() == 2);
const _: () = assert!(
    Generation::of(u64::MAX).bits().trailing_zeros() == Generation::FIRST.bits().trailing_zeros()
);
const _: () = assert!(MAX_HANDLES << ALIGN_BITS <= 1 << Generation::FIRST.bits().trailing_zeros());

type Leaf = [AtomicU64; LEAF_WORDS];
type Middle = [RcuBox<Leaf>; LEAF_WORDS];

/// Names an object from its allocation until it is freed. Stays the same when the object moves.
///
/// Never zero, and never an error pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u64);

impl Handle {
    #[inline]
    pub(super) fn new(index: u32, generation: Generation) -> Self {
        Self(generation.bits() | (u64::from(index) << ALIGN_BITS))
    }

    /// Wraps any number. The lookup finds out whether it is a handle.
    #[inline]
    pub fn from_raw(raw: usize) -> Self {
        Self(raw as u64)
    }

    /// Returns the number that C callers have.
    #[inline]
    pub fn into_raw(self) -> usize {
        self.0 as usize
    }

    // A bit that is zero in all handles ends up above the index, where no table has an entry.
    #[inline]
    fn index(self) -> usize {
        (self.0 ^ self.generation().bits()).rotate_right(ALIGN_BITS) as usize
    }

    /// Returns the generation of the handle, for [`HandleEntry::try_lock`].
    #[inline]
    pub fn generation(self) -> Generation {
        Generation::of(self.0)
    }

    /// Returns the index, which is stored after the object. The generation is in the entry.
    #[inline]
    pub fn in_object(self) -> u32 {
        self.index() as u32
    }
}

/// A chain of free entries. The owner of the chain owns the entries.
///
/// The fields are cells because the guard of a class lock lends no `&mut`: the data under the lock
/// includes list heads, which must not move.
#[must_use = "dropping a chain loses its handles until the pool is destroyed"]
pub struct FreeHandles {
    // Meaningless while `count` is zero.
    head: Cell<u32>,
    tail: Cell<u32>,
    count: Cell<usize>,
}

impl FreeHandles {
    /// Creates an empty chain.
    pub const fn new() -> Self {
        Self {
            head: Cell::new(NO_INDEX),
            tail: Cell::new(NO_INDEX),
            count: Cell::new(0),
        }
    }

    /// Returns the number of entries in the chain.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Returns whether the chain is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first entry. Returns it with its handle.
    #[inline]
    pub fn pop<'a>(&self, entries: HandleEntries<'a>) -> Option<(Handle, HandleEntry<'a>)> {
        let count = self.len().checked_sub(1)?;
        let index = self.head.get();
        let entry = entries.at(index as usize)?;
        let link = entry.link()?;
        self.head.set(link.next);
        self.count.set(count);
        Some((Handle::new(index, link.generation), entry))
    }

    /// Frees the entry of `handle`, which the caller took from the sheaf, and adds it to the chain.
    ///
    /// The entry goes to the front, as it is in the cache. Once it has used all generations it goes
    /// to the tail, to delay the reuse of stale handles.
    #[inline]
    pub fn push_retired(&self, entries: HandleEntries<'_>, handle: Handle, entry: HandleEntry<'_>) {
        match entries.next_generation(handle) {
            Some(next) => self.push_with(handle, entry, next),
            None => self.push_rarely(entries, handle, entry),
        }
    }

    // Adds an entry that [`HandleEntries::next_generation`] has none for.
    #[cold]
    fn push_rarely(&self, entries: HandleEntries<'_>, handle: Handle, entry: HandleEntry<'_>) {
        let generation = handle.generation().next().unwrap_or(Generation::FIRST);
        let (first, count) = (self.head.get(), self.len());
        self.push_with(handle, entry, generation);
        if count != 0 && generation == entries.first_generation() {
            let last = self.head.replace(first);
            self.link_tail(entries, last);
            self.tail.set(last);
        }
    }

    /// Puts back an entry that [`FreeHandles::pop`] returned, with its generation unchanged.
    pub fn push(&self, handle: Handle, entry: HandleEntry<'_>) {
        self.push_with(handle, entry, handle.generation());
    }

    #[inline]
    fn push_with(&self, handle: Handle, entry: HandleEntry<'_>, generation: Generation) {
        let index = handle.index() as u32;
        entry.relink(FreeLink {
            next: self.head.get(),
            generation,
        });
        if self.is_empty() {
            self.tail.set(index);
        }
        self.head.set(index);
        // A pool has at most `MAX_HANDLES`.
        self.count.set(self.len().wrapping_add(1));
    }

    // Returns a chain of `count` entries, at least one, linked in order from `first`.
    fn run(first: u32, count: usize) -> Self {
        Self {
            head: Cell::new(first),
            tail: Cell::new(first.wrapping_add(count as u32).wrapping_sub(1)),
            count: Cell::new(count),
        }
    }

    /// Moves all entries of `other` to the front of the chain.
    pub fn append(&self, entries: HandleEntries<'_>, other: FreeHandles) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.tail.set(other.tail.get());
        } else {
            other.link_tail(entries, self.head.get());
        }
        self.head.set(other.head.get());
        self.count.set(self.len().saturating_add(other.len()));
    }

    // Links `next` after the last entry.
    fn link_tail(&self, entries: HandleEntries<'_>, next: u32) {
        if let Some(entry) = entries.at(self.tail.get() as usize) {
            if let Some(link) = entry.link() {
                entry.relink(FreeLink { next, ..link });
            }
        }
    }

    /// Takes all entries.
    pub fn take(&self) -> FreeHandles {
        FreeHandles {
            head: Cell::new(self.head.replace(NO_INDEX)),
            tail: Cell::new(self.tail.replace(NO_INDEX)),
            count: Cell::new(self.count.replace(0)),
        }
    }

    /// Takes the first `count` entries, or all if there are fewer. Walks the entries that it takes.
    pub fn split(&self, entries: HandleEntries<'_>, count: usize) -> FreeHandles {
        if count >= self.len() {
            return self.take();
        }
        let taken = FreeHandles::new();
        let mut next = self.head.get();
        taken.head.set(next);
        while taken.len() < count {
            let Some(link) = entries.at(next as usize).and_then(HandleEntry::link) else {
                break;
            };
            taken.tail.set(next);
            taken.count.set(taken.len().saturating_add(1));
            next = link.next;
        }
        self.head.set(next);
        self.count.set(self.len().saturating_sub(taken.len()));
        taken
    }
}

impl Default for FreeHandles {
    fn default() -> Self {
        Self::new()
    }
}

// Tables start with different generations: a handle of one pool rarely matches an entry of another.
fn first_generation() -> Generation {
    // A model must do the same in each execution.
    if cfg!(loom) {
        return Generation::FIRST;
    }
    // Not from `sys`: loom's atomics cannot be static.
    use core::sync::atomic::AtomicUsize;
    static TABLES: AtomicUsize = AtomicUsize::new(1);
    // Knuth's multiplicative hash spreads consecutive numbers.
    let hash = (TABLES.fetch_add(1, Relaxed) as u32).wrapping_mul(0x9e37_79b1);
    Generation::nth(hash >> (u32::BITS - GENERATION_BITS))
}

// The entries that no class owns.
struct Unused {
    // Entries that a class returned.
    returned: FreeHandles,
    // Entries from here to `grown` are unused since the last reset. Each links to the next.
    fresh: Cell<usize>,
    // The number of entries in the table.
    grown: Cell<usize>,
}

impl Unused {
    // Returns whether no class owns an entry.
    fn is_all(&self) -> bool {
        self.returned.len() == self.fresh.get()
    }
}

// Parts of the table that a trim detached.
struct Trimmed {
    leaves: [Option<Retired<Leaf>>; TRIM_BATCH],
    middle: Option<Retired<Middle>>,
    // The index that the next batch ends at; zero when the trim is done.
    end: usize,
}

/// The table of all entries of a pool.
///
/// The memory of an entry that a class owns, free or live, stays valid. The table is trimmed only
/// when no class owns an entry.
#[pin_data]
pub struct HandleTable {
    root: [RcuBox<Middle>; ROOT_WORDS],
    pages: AtomicUsize,
    // The bits of the `Generation` that entries of the next leaf start with.
    first_generation: AtomicUsize,
    // Its lock serialises growing and trimming.
    #[pin]
    unused: SpinLock<Unused>,
}

/// The entries of a table, valid until the read-side section ends.
#[derive(Clone, Copy)]
pub struct HandleEntries<'a> {
    table: &'a HandleTable,
    section: RcuRead<'a>,
}

impl<'a> HandleEntries<'a> {
    #[inline]
    fn at(self, index: usize) -> Option<HandleEntry<'a>> {
        let (root, middle) = (index >> (2 * LEAF_BITS), index >> LEAF_BITS);
        let middles = self.table.root.get(root)?.get(self.section)?;
        let leaf = middles.get(middle & (LEAF_WORDS - 1))?.get(self.section)?;
        leaf.get(index & (LEAF_WORDS - 1)).map(HandleEntry::new)
    }

    /// Returns the entry that `handle` names, if the table has that index.
    ///
    /// Locking the entry compares the generation.
    #[inline]
    pub fn entry(self, handle: Handle) -> Option<HandleEntry<'a>> {
        self.at(handle.index())
    }

    /// Returns the entry of the handle stored after an object, if the table has that index.
    ///
    /// [`HandleEntry::try_lock_to_move`] checks that the entry belongs to the object.
    #[inline]
    pub fn entry_of(self, in_object: u32) -> Option<HandleEntry<'a>> {
        self.at(in_object as usize)
    }

    /// Returns the generation after that of `handle`, unless it wraps around or the entry has used
    /// all generations.
    #[inline]
    pub(super) fn next_generation(self, handle: Handle) -> Option<Generation> {
        let next = handle.generation().next();
        next.filter(|&next| next != self.first_generation())
    }

    #[inline]
    fn first_generation(self) -> Generation {
        Generation::of(self.table.first_generation.load(Relaxed) as u64)
    }
}

impl HandleTable {
    /// Creates an empty table.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            root <- zeroed(),
            pages: AtomicUsize::new(0),
            first_generation: AtomicUsize::new(first_generation().bits() as usize),
            unused <- SpinLock::new(LockClass::Inner, Unused {
                returned: FreeHandles::new(),
                fresh: Cell::new(0),
                grown: Cell::new(0),
            }),
        })
    }

    /// Returns the entries for lookups in a read-side section. Any context.
    #[inline]
    pub fn entries<'a>(&'a self, section: RcuRead<'a>) -> HandleEntries<'a> {
        HandleEntries {
            table: self,
            section,
        }
    }

    /// Returns the size of the table in 4-KiB pages. Any context.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Takes up to `count` free entries, at least one. Grows the table if no entry is unused.
    ///
    /// Returns [`ENOMEM`] if memory ran out, or the table has its maximum size.
    ///
    /// Context: depends on `gfp`. No lock may be held.
    pub fn reserve(&self, count: usize, gfp: Gfp) -> Result<FreeHandles> {
        loop {
            if let Some(handles) = self.reserve_unused(count) {
                return Ok(handles);
            }
            self.grow(gfp)?;
        }
    }

    /// Takes entries like [`HandleTable::reserve`]. Returns `None` if the table would have to grow.
    ///
    /// Context: takes the table's lock. No class lock may be held.
    pub fn reserve_unused(&self, count: usize) -> Option<FreeHandles> {
        let unused = self.unused.lock();
        self.take_unused(&unused, self.entries(unused.rcu()), count)
    }

    /// Like [`HandleTable::reserve_unused`], but returns `None` if the table's lock is contended.
    ///
    /// Context: any but an interrupt. A class lock may be held.
    pub fn try_reserve(&self, count: usize) -> Option<FreeHandles> {
        let unused = self.unused.try_lock()?;
        self.take_unused(&unused, self.entries(unused.rcu()), count)
    }

    fn take_unused(
        &self,
        unused: &Unused,
        entries: HandleEntries<'_>,
        count: usize,
    ) -> Option<FreeHandles> {
        let count = count.max(1);
        if !unused.returned.is_empty() {
            return Some(unused.returned.split(entries, count));
        }
        let fresh = unused.fresh.get();
        let count = count.min(unused.grown.get().saturating_sub(fresh));
        if count == 0 {
            return None;
        }
        unused.fresh.set(fresh.wrapping_add(count));
        Some(FreeHandles::run(fresh as u32, count))
    }

    /// Returns entries to the table. Returns true if all entries are unused now and
    /// [`HandleTable::trim`] would free pages.
    ///
    /// Context: takes the table's lock. No class lock may be held.
    #[must_use = "a table that can be trimmed should be"]
    pub fn give_back(&self, handles: FreeHandles) -> bool {
        if handles.is_empty() {
            return false;
        }
        let unused = self.unused.lock();
        unused.returned.append(self.entries(unused.rcu()), handles);
        unused.is_all() && unused.grown.get() > LEAF_WORDS
    }

    fn grow(&self, gfp: Gfp) -> Result {
        let leaf = ZeroBox::<Leaf>::new(gfp)?;
        let mut middle = None;
        let unused = loop {
            let unused = self.unused.lock();
            let first = unused.grown.get();
            let root = self.root.get(first >> (2 * LEAF_BITS)).ok_or(ENOMEM)?;
            if root.get(unused.rcu()).is_some() {
                break unused;
            }
            if let Some(middle) = middle.take() {
                root.set(middle);
                self.pages.fetch_add(1, Relaxed);
                break unused;
            }
            drop(unused);
            middle = Some(ZeroBox::<Middle>::new(gfp)?);
        };
        let first = unused.grown.get();
        let slot = self.leaf(first, unused.rcu()).ok_or(ENOMEM)?;
        if slot.get(unused.rcu()).is_some() {
            // A running `trim` has not reached this leaf. To free it could sleep, whatever `gfp` is.
            Self::relink_leaf(self.entries(unused.rcu()), first).ok_or(EIO)?;
        } else {
            let mut next = first as u32;
            let generation = Generation::of(self.first_generation.load(Relaxed) as u64);
            for entry in leaf.iter() {
                next = next.wrapping_add(1);
                HandleEntry::new(entry).relink(FreeLink { next, generation });
            }
            slot.set(leaf);
            self.pages.fetch_add(1, Relaxed);
        }
        unused.grown.set(first.saturating_add(LEAF_WORDS));
        drop(unused);
        Ok(())
    }

    // Returns the slot of the leaf for entry `index`, if its middle level is allocated.
    fn leaf<'a>(&'a self, index: usize, section: RcuRead<'a>) -> Option<&'a RcuBox<Leaf>> {
        let middle = self.root.get(index >> (2 * LEAF_BITS))?.get(section)?;
        middle.get((index >> LEAF_BITS) & (LEAF_WORDS - 1))
    }

    // Links each entry of the leaf that begins with entry `first` to the next one. No class owns one
    // of them. They keep their generations.
    fn relink_leaf(entries: HandleEntries<'_>, first: usize) -> Option<()> {
        for index in first..first.saturating_add(LEAF_WORDS) {
            let entry = entries.at(index)?;
            let next = (index as u32).wrapping_add(1);
            entry.relink(FreeLink {
                next,
                ..entry.link()?
            });
        }
        Some(())
    }

    fn take_leaf(&self, slot: &RcuBox<Leaf>) -> Option<Retired<Leaf>> {
        let retired = slot.take();
        if retired.is_some() {
            self.pages.fetch_sub(1, Relaxed);
        }
        retired
    }

    /// Frees all leaves but the first, unless a class owns an entry. Leaves that the table grows into
    /// meanwhile stay.
    ///
    /// Entries of new leaves start with another generation, but later reach old ones. A handle
    /// freed before the trim may then match a new entry, as a handle of another pool may.
    ///
    /// Context: may sleep. No lock may be held. Callers must be serialised.
    pub fn trim(&self) {
        let Some(mut end) = self.reset() else {
            return;
        };
        while end > LEAF_WORDS {
            // Drops the detached leaves, without the lock.
            end = self.take_leaves(end).end;
        }
    }

    // Detaches a batch of leaves that `reset` took out of use, below entry `end`.
    fn take_leaves(&self, end: usize) -> Trimmed {
        let mut trimmed = Trimmed {
            end: 0,
            leaves: [const { None }; TRIM_BATCH],
            middle: None,
        };
        let unused = self.unused.lock();
        let mut first = end;
        for retired in &mut trimmed.leaves {
            first = first.saturating_sub(LEAF_WORDS);
            // The rest is in use: the table has grown again, or this is the first leaf.
            if first < unused.grown.get() {
                return trimmed;
            }
            let Some(slot) = self.leaf(first, unused.rcu()) else {
                return trimmed;
            };
            *retired = self.take_leaf(slot);
            if first & (MIDDLE_WORDS - 1) == 0 {
                // This was the last leaf of its middle level.
                trimmed.middle = self.root.get(first / MIDDLE_WORDS).and_then(RcuBox::take);
                self.pages.fetch_sub(1, Relaxed);
            }
        }
        trimmed.end = first;
        trimmed
    }

    // Takes all leaves but the first out of use, and makes its entries fresh. Returns the old size.
    fn reset(&self) -> Option<usize> {
        let unused = self.unused.lock();
        let grown = unused.grown.get();
        if grown <= LEAF_WORDS || !unused.is_all() {
            return None;
        }
        let _ = unused.returned.take();
        Self::relink_leaf(self.entries(unused.rcu()), 0)?;
        unused.fresh.set(0);
        unused.grown.set(LEAF_WORDS);
        self.first_generation
            .store(first_generation().bits() as usize, Relaxed);
        Some(grown)
    }
}
