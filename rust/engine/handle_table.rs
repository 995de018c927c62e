// SPDX-License-Identifier: GPL-2.0

//! Handles, and the table of words that they name.
//!
//! A handle is an index into a three-level table and a generation, not an address: whatever
//! number a caller passes, looking it up reads only memory that the pool owns, and a handle that
//! was freed is not of its word's next generation. The table grows and is only freed with
//! the pool, so readers need no lock.
//!
//! A class owns some free words, so that most of the time taking one in `malloc` touches no other
//! class. It gets and gives them back in batches.

use core::cell::Cell;

use super::word::{FreeLink, Generation, ObjWord, GENERATION_BITS};
use crate::sys::atomic::{
    AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::boxed::{OnceBox, ZeroBox};
use crate::sys::prelude::*;
use crate::sys::spinlock::{LockClass, SpinLock};

const LEAF_BITS: usize = 9;
const LEAF_WORDS: usize = 1 << LEAF_BITS;
const ROOT_WORDS: usize = 1 << 10;
/// Handles a pool can have at once: 268 million.
pub const MAX_HANDLES: usize = ROOT_WORDS << (2 * LEAF_BITS);
const NO_INDEX: u32 = u32::MAX;

/// Low bits of a handle that are always zero, as in the aligned pointers that C handles are.
const ALIGN_BITS: u32 = 3;
/// High bits of a handle that are always zero. Behind them is its generation.
const ZERO_BITS: u32 = 2;

const _: () = assert!(MAX_HANDLES << ALIGN_BITS <= usize::MAX >> (ZERO_BITS + GENERATION_BITS));
const _: () = assert!(Generation::of(u64::MAX).bits().leading_zeros() == ZERO_BITS);

type Leaf = [AtomicU64; LEAF_WORDS];
type Middle = [OnceBox<Leaf>; LEAF_WORDS];

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

    /// The generation of the handle: see [`ObjWord::try_lock`].
    #[inline]
    pub fn generation(self) -> Generation {
        Generation::of(self.0)
    }

    /// What stands behind the object, in its zspage: the index, as the word knows the generation.
    #[inline]
    pub fn in_object(self) -> u32 {
        self.index() as u32
    }
}

/// A chain of free words. Whoever has it owns the words.
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
    /// No words.
    pub const fn new() -> Self {
        Self {
            head: Cell::new(NO_INDEX),
            tail: Cell::new(NO_INDEX),
            count: Cell::new(0),
        }
    }

    /// How many words are in the chain.
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one word: its handle and the word itself.
    #[inline(always)]
    pub fn pop<'a>(&self, table: &'a HandleTable) -> Option<(Handle, ObjWord<'a>)> {
        let count = self.len().checked_sub(1)?;
        let index = self.head.get();
        let word = table.at(index as usize)?;
        let link = word.link()?;
        self.head.set(link.next);
        self.count.set(count);
        Some((Handle::new(index, link.generation), word))
    }

    /// Frees the word of `handle`, which the caller has locked, and takes it.
    ///
    /// It is the first to be used again, as it is in the cache; but when it has had all generations
    /// it is the last, so that handles that went stale do not come again at once.
    #[inline(always)]
    pub fn push_retired(&self, table: &HandleTable, handle: Handle, word: ObjWord<'_>) {
        match handle.generation().next() {
            Some(next) if next != table.first_generation => self.push_with(handle, word, next),
            next => self.push_rarely(table, handle, word, next.unwrap_or(Generation::FIRST)),
        }
    }

    #[cold]
    fn push_rarely(
        &self,
        table: &HandleTable,
        handle: Handle,
        word: ObjWord<'_>,
        generation: Generation,
    ) {
        let (first, count) = (self.head.get(), self.len());
        self.push_with(handle, word, generation);
        if count != 0 && generation == table.first_generation {
            let last = self.head.replace(first);
            self.link_tail(table, last);
            self.tail.set(last);
        }
    }

    /// Puts back what [`FreeHandles::pop`] took, as it was.
    pub fn push(&self, handle: Handle, word: ObjWord<'_>) {
        self.push_with(handle, word, handle.generation());
    }

    #[inline(always)]
    fn push_with(&self, handle: Handle, word: ObjWord<'_>, generation: Generation) {
        let index = handle.index() as u32;
        word.relink(FreeLink {
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

    // `count` words from `first` on, linked in order; at least one.
    fn run(first: u32, count: usize) -> Self {
        Self {
            head: Cell::new(first),
            tail: Cell::new(first.wrapping_add(count as u32).wrapping_sub(1)),
            count: Cell::new(count),
        }
    }

    /// Takes all of `other`.
    pub fn append(&self, table: &HandleTable, other: FreeHandles) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.tail.set(other.tail.get());
        } else {
            other.link_tail(table, self.head.get());
        }
        self.head.set(other.head.get());
        self.count.set(self.len().saturating_add(other.len()));
    }

    // Links `next` behind the last word.
    fn link_tail(&self, table: &HandleTable, next: u32) {
        if let Some(word) = table.at(self.tail.get() as usize) {
            if let Some(link) = word.link() {
                word.relink(FreeLink { next, ..link });
            }
        }
    }

    /// Splits off `count` words, or all if there are fewer. Takes time in proportion.
    pub fn split(&self, table: &HandleTable, count: usize) -> FreeHandles {
        let taken = FreeHandles::new();
        let mut next = self.head.get();
        taken.head.set(next);
        while taken.len() < count.min(self.len()) {
            let Some(link) = table.at(next as usize).and_then(ObjWord::link) else {
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

// Generations of each pool begin elsewhere, so that a handle of one is not one of another, too.
fn first_generation() -> Generation {
    // Not of `sys`: the atomics of loom cannot be static.
    use core::sync::atomic::AtomicUsize;
    static POOLS: AtomicUsize = AtomicUsize::new(1);
    // Knuth's multiplicative hash: numbers in a row end up far apart.
    let hash = (POOLS.fetch_add(1, Relaxed) as u32).wrapping_mul(0x9e37_79b1);
    Generation::nth(hash >> (u32::BITS - GENERATION_BITS))
}

// The words that no class has.
struct Unused {
    // Came back from a class.
    returned: FreeHandles,
    // From here on to the end of the table none was ever in a class; each links to the next.
    fresh: Cell<usize>,
}

/// All words of a pool.
///
/// # Invariants
///
/// Every word of an index below `grown` exists.
#[pin_data]
pub struct HandleTable {
    root: [OnceBox<Middle>; ROOT_WORDS],
    grown: AtomicUsize,
    pages: AtomicUsize,
    first_generation: Generation,
    // Its lock is that of growing.
    #[pin]
    unused: SpinLock<Unused>,
}

impl HandleTable {
    /// An empty table.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            root <- zeroed(),
            grown: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            first_generation: first_generation(),
            unused <- SpinLock::new(LockClass::HandleTable, Unused {
                returned: FreeHandles::new(),
                fresh: Cell::new(0),
            }),
        })
    }

    #[inline]
    fn at(&self, index: usize) -> Option<ObjWord<'_>> {
        // Pairs with `grow`.
        if index >= self.grown.load(Acquire) {
            return None;
        }
        let (root, middle) = (index >> (2 * LEAF_BITS), index >> LEAF_BITS);
        // SAFETY: By the type invariants, every step of the way to this word exists: `root` is
        // below the root's length as `index` is below `MAX_HANDLES`.
        let leaf = unsafe {
            let middles = self.root.get_unchecked(root).get_set();
            middles.get_unchecked(middle & (LEAF_WORDS - 1)).get_set()
        };
        leaf.get(index & (LEAF_WORDS - 1)).map(ObjWord::new)
    }

    /// The word that `handle` names, if the table has one of that index. Any context.
    ///
    /// Whether the word is of this generation of the handle shows when it is locked.
    #[inline]
    pub fn word<'a>(&'a self, handle: Handle) -> Option<ObjWord<'a>> {
        self.at(handle.index())
    }

    /// The word of the handle that stands behind an object, if the table has it.
    ///
    /// Whether it is the object's shows when it is locked to be moved.
    #[inline]
    pub fn word_of(&self, in_object: u32) -> Option<ObjWord<'_>> {
        self.at(in_object as usize)
    }

    /// Bytes of the table, in pages of 4 KiB.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Takes `count` free words, or fewer, but at least one. Grows the table if there is none.
    ///
    /// Returns [`ENOMEM`] if memory, or the table, is at its end; then nothing was taken.
    ///
    /// Context: as `gfp` says. No lock may be held.
    pub fn reserve(&self, count: usize, gfp: Gfp) -> Result<FreeHandles> {
        loop {
            if let Some(handles) = self.take_unused(&self.unused.lock(), count) {
                return Ok(handles);
            }
            self.grow(gfp)?;
        }
    }

    /// Takes as many as [`HandleTable::reserve`] does. `None` if the table would have to grow, or if
    /// somebody has its lock. Any context, and with a class lock held.
    pub fn try_reserve(&self, count: usize) -> Option<FreeHandles> {
        self.take_unused(&*self.unused.try_lock()?, count)
    }

    fn take_unused(&self, unused: &Unused, count: usize) -> Option<FreeHandles> {
        let count = count.max(1);
        if !unused.returned.is_empty() {
            return Some(unused.returned.split(self, count));
        }
        let fresh = unused.fresh.get();
        let count = count.min(self.grown.load(Relaxed).saturating_sub(fresh));
        if count == 0 {
            return None;
        }
        unused.fresh.set(fresh.wrapping_add(count));
        Some(FreeHandles::run(fresh as u32, count))
    }

    /// Gives words back, for other classes to use. Any context.
    pub fn give_back(&self, handles: FreeHandles) {
        if !handles.is_empty() {
            self.unused.lock().returned.append(self, handles);
        }
    }

    fn grow(&self, gfp: Gfp) -> Result {
        let leaf = ZeroBox::<Leaf>::new(gfp)?;
        let mut middle = None;
        let _unused = loop {
            let unused = self.unused.lock();
            let first = self.grown.load(Relaxed);
            let root = self.root.get(first >> (2 * LEAF_BITS)).ok_or(ENOMEM)?;
            if root.get().is_some() {
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
        let first = self.grown.load(Relaxed);
        let leaves = self
            .root
            .get(first >> (2 * LEAF_BITS))
            .and_then(OnceBox::get);
        let place = leaves.and_then(|leaves| leaves.get((first >> LEAF_BITS) & (LEAF_WORDS - 1)));
        let mut next = first as u32;
        for word in leaf.iter() {
            next = next.wrapping_add(1);
            ObjWord::new(word).relink(FreeLink {
                next,
                generation: self.first_generation,
            });
        }
        place.ok_or(ENOMEM)?.set(leaf);
        self.pages.fetch_add(1, Relaxed);
        // INVARIANT: The leaf, and what leads to it, was set above.
        self.grown.store(first.saturating_add(LEAF_WORDS), Release);
        Ok(())
    }
}
