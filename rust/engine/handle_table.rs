// SPDX-License-Identifier: GPL-2.0

//! Handles, and the table of entries that they name.
//!
//! A handle is an index into a three-level table and a generation, not an address: whatever
//! number a caller passes, looking it up reads only memory that the pool owns, and a handle that
//! was freed is not of its entry's next generation.
//!
//! The table is read under RCU: [`HandleTable::entries`] needs a read-side section, and what it finds
//! is valid for as long as that goes on. The table grows when a class needs entries and none is
//! unused. When all entries are unused, [`HandleTable::trim`] frees it down to its first leaf.
//!
//! A class owns some free entries, so that `malloc` touches nothing that other classes use, most of
//! the time. It takes entries and returns them in batches.

#![forbid(unsafe_code)]

use core::cell::Cell;

use super::handle_entry::{FreeLink, Generation, HandleEntry, GENERATION_BITS};
use crate::sys::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use crate::sys::boxed::{RcuBox, Retired, ZeroBox};
use crate::sys::lockdep;
use crate::sys::prelude::*;
use crate::sys::sched::RcuRead;
use crate::sys::spinlock::{LockClass, SpinLock};

const LEAF_BITS: usize = 9;
const LEAF_WORDS: usize = 1 << LEAF_BITS;
const MIDDLE_WORDS: usize = LEAF_WORDS << LEAF_BITS;
const ROOT_WORDS: usize = 1 << 10;
/// Handles a pool can have at once: 268 million.
pub const MAX_HANDLES: usize = ROOT_WORDS << (2 * LEAF_BITS);
const NO_INDEX: u32 = u32::MAX;

/// How many leaves [`HandleTable::trim`] takes out with the lock held.
const TRIM_BATCH: usize = 16;

/// Low bits of a handle that are always zero, as in the aligned pointers that C handles are.
const ALIGN_BITS: u32 = 3;
/// High bits of a handle that are always zero. Behind them is its generation.
const ZERO_BITS: u32 = 2;

const _: () = assert!(MAX_HANDLES << ALIGN_BITS <= usize::MAX >> (ZERO_BITS + GENERATION_BITS));
const _: () = assert!(Generation::of(u64::MAX).bits().leading_zeros() == ZERO_BITS);

type Leaf = [AtomicU64; LEAF_WORDS];
type Middle = [RcuBox<Leaf>; LEAF_WORDS];

/// Names an object for as long as it is allocated, wherever it moves.
///
/// Never zero, never an error pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(u64);

impl Handle {
    #[inline]
    fn new(index: u32, generation: Generation) -> Self {
        Self(generation.bits() | (u64::from(index) << ALIGN_BITS))
    }

    /// Believes that `raw` may be a handle; whether it is one shows when it is looked up.
    #[inline]
    pub fn from_raw(raw: usize) -> Self {
        Self(raw as u64)
    }

    /// The number that C callers keep.
    #[inline]
    pub fn into_raw(self) -> usize {
        self.0 as usize
    }

    // If a bit is set that no handle has, it ends up above the index: no table has such a one.
    #[inline]
    fn index(self) -> usize {
        (self.0.rotate_left(ZERO_BITS) << GENERATION_BITS)
            .rotate_right(GENERATION_BITS + ZERO_BITS + ALIGN_BITS) as usize
    }

    /// The generation of the handle: see [`HandleEntry::try_lock`].
    #[inline]
    pub fn generation(self) -> Generation {
        Generation::of(self.0)
    }

    /// What stands behind the object, in its zspage: the index, as the entry knows the generation.
    #[inline]
    pub fn in_object(self) -> u32 {
        self.index() as u32
    }
}

/// A chain of free entries. Whoever has it owns the entries.
///
/// The fields are cells because a class's chain is changed through its lock's guard, which lends
/// no `&mut`: lists live behind it too, and may not be moved.
#[must_use = "dropping a chain loses its handles until the pool is destroyed"]
pub struct FreeHandles {
    // Meaningful only while `count` is not zero.
    head: Cell<u32>,
    tail: Cell<u32>,
    count: Cell<usize>,
}

impl FreeHandles {
    /// No entries.
    pub const fn new() -> Self {
        Self {
            head: Cell::new(NO_INDEX),
            tail: Cell::new(NO_INDEX),
            count: Cell::new(0),
        }
    }

    /// How many entries are in the chain.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one entry: its handle and the entry itself.
    #[inline(always)]
    pub fn pop<'a>(&self, entries: HandleEntries<'a>) -> Option<(Handle, HandleEntry<'a>)> {
        let count = self.len().checked_sub(1)?;
        let index = self.head.get();
        let entry = entries.at(index as usize)?;
        let link = entry.link()?;
        self.head.set(link.next);
        self.count.set(count);
        Some((Handle::new(index, link.generation), entry))
    }

    /// Frees the entry of `handle`, which the caller has locked, and takes it.
    ///
    /// It is the first to be used again, as it is in the cache; but when it has had all generations
    /// it is the last, so that handles that went stale do not come again at once.
    #[inline(always)]
    pub fn push_retired(&self, entries: HandleEntries<'_>, handle: Handle, entry: HandleEntry<'_>) {
        lockdep::entry_released();
        match handle.generation().next() {
            Some(next) if next != entries.first_generation() => self.push_with(handle, entry, next),
            next => self.push_rarely(entries, handle, entry, next.unwrap_or(Generation::FIRST)),
        }
    }

    #[cold]
    fn push_rarely(
        &self,
        entries: HandleEntries<'_>,
        handle: Handle,
        entry: HandleEntry<'_>,
        generation: Generation,
    ) {
        let (first, count) = (self.head.get(), self.len());
        self.push_with(handle, entry, generation);
        if count != 0 && generation == entries.first_generation() {
            let last = self.head.replace(first);
            self.link_tail(entries, last);
            self.tail.set(last);
        }
    }

    /// Puts back what [`FreeHandles::pop`] took, as it was.
    pub fn push(&self, handle: Handle, entry: HandleEntry<'_>) {
        self.push_with(handle, entry, handle.generation());
    }

    #[inline(always)]
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
        // There are never more than `MAX_HANDLES`.
        self.count.set(self.len().wrapping_add(1));
    }

    // `count` entries from `first` on, linked in order; at least one.
    fn run(first: u32, count: usize) -> Self {
        Self {
            head: Cell::new(first),
            tail: Cell::new(first.wrapping_add(count as u32).wrapping_sub(1)),
            count: Cell::new(count),
        }
    }

    /// Takes all of `other`.
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

    // Links `next` behind the last entry.
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

    /// Splits off `count` entries, or all if there are fewer. Takes time in proportion.
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

// Generations of each table begin elsewhere, so that a handle of one is not one of another, too.
fn first_generation() -> Generation {
    // Not of `sys`: the atomics of loom cannot be static.
    use core::sync::atomic::AtomicUsize;
    static TABLES: AtomicUsize = AtomicUsize::new(1);
    // Knuth's multiplicative hash: numbers in a row end up far apart.
    let hash = (TABLES.fetch_add(1, Relaxed) as u32).wrapping_mul(0x9e37_79b1);
    Generation::nth(hash >> (u32::BITS - GENERATION_BITS))
}

// The entries that no class has.
struct Unused {
    // Came back from a class.
    returned: FreeHandles,
    // From here on to `grown` none was ever in a class; each links to the next.
    fresh: Cell<usize>,
    // HandleEntries that there are.
    grown: Cell<usize>,
}

impl Unused {
    // Whether no class has an entry.
    fn is_all(&self) -> bool {
        self.returned.len() == self.fresh.get()
    }
}

// A part of the table that is on its way out.
struct Trimmed {
    leaves: [Option<Retired<Leaf>>; TRIM_BATCH],
    middle: Option<Retired<Middle>>,
    // What is left begins below, or nothing is.
    end: usize,
}

/// All entries of a pool.
///
/// An entry that a class has, free or live, stays where it is: the table is trimmed only when no
/// class has any.
#[pin_data]
pub struct HandleTable {
    root: [RcuBox<Middle>; ROOT_WORDS],
    pages: AtomicUsize,
    // The bits of a `Generation`: that of the entries of the next leaf.
    first_generation: AtomicUsize,
    // Its lock is that of growing and trimming.
    #[pin]
    unused: SpinLock<Unused>,
}

/// The entries of a table, for as long as a read-side section goes on.
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

    /// The entry that `handle` names, if the table has one of that index.
    ///
    /// Whether the entry is of this generation of the handle shows when it is locked.
    #[inline]
    pub fn entry(self, handle: Handle) -> Option<HandleEntry<'a>> {
        self.at(handle.index())
    }

    /// The entry of the handle that stands behind an object, if the table has it.
    ///
    /// Whether it is the object's shows when it is locked to be moved.
    #[inline]
    pub fn entry_of(self, in_object: u32) -> Option<HandleEntry<'a>> {
        self.at(in_object as usize)
    }

    #[inline]
    fn first_generation(self) -> Generation {
        Generation::of(self.table.first_generation.load(Relaxed) as u64)
    }
}

impl HandleTable {
    /// An empty table.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            root <- zeroed(),
            pages: AtomicUsize::new(0),
            first_generation: AtomicUsize::new(first_generation().bits() as usize),
            unused <- SpinLock::new(LockClass::HandleTable, Unused {
                returned: FreeHandles::new(),
                fresh: Cell::new(0),
                grown: Cell::new(0),
            }),
        })
    }

    /// The entries, to be looked up in this read-side section. Any context.
    #[inline]
    pub fn entries<'a>(&'a self, section: RcuRead<'a>) -> HandleEntries<'a> {
        HandleEntries {
            table: self,
            section,
        }
    }

    /// Bytes of the table, in pages of 4 KiB.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Takes `count` free entries, or fewer, but at least one. Grows the table if there is none.
    ///
    /// Returns [`ENOMEM`] if memory, or the table, is at its end; then nothing was taken.
    ///
    /// Context: as `gfp` says. No lock may be held.
    pub fn reserve(&self, count: usize, gfp: Gfp) -> Result<FreeHandles> {
        loop {
            if let Some(handles) = self.reserve_unused(count) {
                return Ok(handles);
            }
            self.grow(gfp)?;
        }
    }

    /// Takes as many as [`HandleTable::reserve`] does. `None` if the table would have to grow. No
    /// lock may be held.
    pub fn reserve_unused(&self, count: usize) -> Option<FreeHandles> {
        let unused = self.unused.lock();
        self.take_unused(&unused, self.entries(unused.rcu()), count)
    }

    /// The same. `None` also if somebody has the table's lock. Any context, and with a class lock
    /// held.
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

    /// Returns entries for other classes to use. True if all are unused now, and
    /// [`HandleTable::trim`] would free pages. Any context; no class lock may be held.
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
        // What a trim under way has not come to yet goes after the lock.
        let _retired;
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
        _retired = self.take_leaf(slot);
        let mut next = first as u32;
        let generation = Generation::of(self.first_generation.load(Relaxed) as u64);
        for entry in leaf.iter() {
            next = next.wrapping_add(1);
            HandleEntry::new(entry).relink(FreeLink { next, generation });
        }
        slot.set(leaf);
        self.pages.fetch_add(1, Relaxed);
        unused.grown.set(first.saturating_add(LEAF_WORDS));
        drop(unused);
        Ok(())
    }

    // The slot of the leaf that has the entry of this index, if its middle is there.
    fn leaf<'a>(&'a self, index: usize, section: RcuRead<'a>) -> Option<&'a RcuBox<Leaf>> {
        let middle = self.root.get(index >> (2 * LEAF_BITS))?.get(section)?;
        middle.get((index >> LEAF_BITS) & (LEAF_WORDS - 1))
    }

    fn take_leaf(&self, slot: &RcuBox<Leaf>) -> Option<Retired<Leaf>> {
        let retired = slot.take();
        if retired.is_some() {
            self.pages.fetch_sub(1, Relaxed);
        }
        retired
    }

    /// Frees all of the table but its first leaf, if no class has any entry of it.
    ///
    /// Handles that were freed before may be taken for new ones of the same number from here on, as
    /// those of another pool may: the generations of the new entries begin elsewhere, but meet theirs.
    ///
    /// Context: may sleep. No lock may be held; one caller at a time.
    pub fn trim(&self) {
        let Some(mut end) = self.reset() else {
            return;
        };
        while end > LEAF_WORDS {
            // What it took out goes here, without the lock.
            end = self.take_leaves(end).end;
        }
    }

    // Takes some of the leaves out whose entries are below `end` and unknown.
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
            // From here on down the table has grown again, or is what stays.
            if first < unused.grown.get() {
                return trimmed;
            }
            let Some(slot) = self.leaf(first, unused.rcu()) else {
                return trimmed;
            };
            *retired = self.take_leaf(slot);
            if first & (MIDDLE_WORDS - 1) == 0 {
                // It was the middle's first leaf, and the last that it had.
                trimmed.middle = self.root.get(first / MIDDLE_WORDS).and_then(RcuBox::take);
                self.pages.fetch_sub(1, Relaxed);
            }
        }
        trimmed.end = first;
        trimmed
    }

    // Makes all entries but those of the first leaf unknown, and these fresh. How many there were.
    fn reset(&self) -> Option<usize> {
        let unused = self.unused.lock();
        let grown = unused.grown.get();
        if grown <= LEAF_WORDS || !unused.is_all() {
            return None;
        }
        let _ = unused.returned.take();
        let entries = self.entries(unused.rcu());
        for index in 0..LEAF_WORDS {
            let entry = entries.at(index)?;
            let next = (index as u32).wrapping_add(1);
            entry.relink(FreeLink {
                next,
                ..entry.link()?
            });
        }
        unused.fresh.set(0);
        unused.grown.set(LEAF_WORDS);
        self.first_generation
            .store(first_generation().bits() as usize, Relaxed);
        Some(grown)
    }
}
