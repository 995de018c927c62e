// SPDX-License-Identifier: GPL-2.0

//! The kernel's `list_head`, with the checks of CONFIG_DEBUG_LIST.

use core::cell::Cell;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::NonNull;

use super::prelude::*;
use super::slab::SlabBox;

struct ListHead {
    next: Cell<*const ListHead>,
    prev: Cell<*const ListHead>,
}

// Like the kernel's, addresses that nothing is mapped at.
const POISON_NEXT: *const ListHead = 0xdead_0000_0000_0100_u64 as *const ListHead;
const POISON_PREV: *const ListHead = 0xdead_0000_0000_0122_u64 as *const ListHead;

/// The links of an item, for one list.
pub struct Links(ListHead, PhantomPinned);

impl Links {
    /// Creates the links of an item that is on no list.
    pub const fn new() -> Self {
        Self(
            ListHead {
                next: Cell::new(core::ptr::null()),
                prev: Cell::new(core::ptr::null()),
            },
            PhantomPinned,
        )
    }
}

impl Default for Links {
    fn default() -> Self {
        Self::new()
    }
}

/// An item of a [`List`].
///
/// # Safety
///
/// [`Linked::OFFSET`] must be the offset of a [`Links`] in the type, which only the list uses.
pub unsafe trait Linked: Sized {
    /// The offset of the links, in bytes.
    const OFFSET: usize;
}

/// A list of `T` in slab memory.
///
/// # Invariants
///
/// The head is linked to itself, or to the links of `T`s from [`SlabBox`]es. The list owns these.
#[pin_data]
pub struct List<T: Linked> {
    #[pin]
    head: Links,
    _owned: PhantomData<SlabBox<T>>,
}

// SAFETY: The list owns its items, which are `Send`, and is not `Sync`.
unsafe impl<T: Linked + Send> Send for List<T> {}

impl<T: Linked> List<T> {
    /// Creates an empty list.
    pub fn new() -> impl PinInit<Self> {
        // INVARIANT: The head is linked to itself.
        pin_init!(Self {
            head <- empty_head(),
            _owned: PhantomData,
        })
    }

    fn head(&self) -> *const ListHead {
        &raw const self.head.0
    }

    fn links(item: NonNull<T>) -> *const ListHead {
        // SAFETY: By the requirements of `Linked` there is a `Links` at that offset.
        unsafe { &raw const (*item.as_ptr().byte_add(T::OFFSET).cast::<Links>()).0 }
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.head.0.next.get() == self.head()
    }

    /// Returns the first item.
    pub fn front(&self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: By the type invariants the head is linked to the links of an item. Callers of
        // `remove` guarantee not to free it while the reference is in use.
        unsafe { Some(&*self.head.0.next.get().byte_sub(T::OFFSET).cast::<T>()) }
    }

    /// Returns the items, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.head.0.next.get();
        core::iter::from_fn(move || {
            if next == self.head() {
                return None;
            }
            // SAFETY: By the type invariants `next` is the links of an item. Callers of `remove`
            // guarantee not to free it while the reference is in use.
            unsafe {
                let item = &*next.byte_sub(T::OFFSET).cast::<T>();
                next = (*next).next.get();
                Some(item)
            }
        })
    }

    /// Adds an item at the front or at the tail. The list owns it from now on.
    pub fn push(&self, item: SlabBox<T>, front: bool) {
        let head = self.head();
        // SAFETY: The item comes from a box, so it is valid and on no list. The head is linked.
        unsafe {
            if front {
                list_add(Self::links(item.into_raw()), head, (*head).next.get());
            } else {
                list_add(Self::links(item.into_raw()), (*head).prev.get(), head);
            }
        }
    }

    /// Removes an item. The caller owns it from now on.
    ///
    /// # Safety
    ///
    /// The item must be on this list. The caller must not free it while a reference borrowed from
    /// the list is in use.
    pub unsafe fn remove(&self, item: &T) -> SlabBox<T> {
        let entry = Self::links(NonNull::from(item));
        // SAFETY: The item is on this list (safety requirement), so its links are valid and the
        // list owns it. The box is made from the pointer that `push` stored in the neighbour. A
        // pointer made from a shared reference must not be written through.
        unsafe {
            let (next, prev) = ((*entry).next.get(), (*entry).prev.get());
            check!(
                !next.is_null() && !prev.is_null(),
                "list_del corruption, {entry:p}->next or ->prev is NULL"
            );
            check!(
                next != POISON_NEXT && prev != POISON_PREV,
                "list_del corruption, {entry:p}->next is LIST_POISON1"
            );
            check!(
                (*prev).next.get() == entry && (*next).prev.get() == entry,
                "list_del corruption. prev->next should be {entry:p}."
            );
            check!(
                self.contains(entry),
                "list_del of an entry of another list, {entry:p}"
            );
            let owned = (*prev).next.get();
            (*next).prev.set(prev);
            (*prev).next.set(next);
            (*entry).next.set(POISON_NEXT);
            (*entry).prev.set(POISON_PREV);
            SlabBox::from_raw(NonNull::new_unchecked(
                owned.byte_sub(T::OFFSET).cast_mut().cast(),
            ))
        }
    }

    // Returns whether an entry is on this list. The kernel does not check that. Checks the first
    // entries only, as lists may be long.
    //
    // SAFETY: By the type invariants the list is linked.
    unsafe fn contains(&self, entry: *const ListHead) -> bool {
        let mut at = self.head();
        for _ in 0..64 {
            // SAFETY: By the type invariants of the list, `at` is the head or the links of an item.
            at = unsafe { (*at).next.get() };
            if at == entry {
                return true;
            }
            if at == self.head() {
                return false;
            }
        }
        true
    }
}

// Links `new` between `prev` and `next`.
//
// SAFETY: All three must point to valid links.
unsafe fn list_add(new: *const ListHead, prev: *const ListHead, next: *const ListHead) {
    check!(!next.is_null(), "list_add corruption. next is NULL.");
    check!(!prev.is_null(), "list_add corruption. prev is NULL.");
    // SAFETY: All three point to valid links (safety requirement).
    unsafe {
        check!(
            (*next).prev.get() == prev,
            "list_add corruption. next->prev should be prev ({prev:p})."
        );
        check!(
            (*prev).next.get() == next,
            "list_add corruption. prev->next should be next ({next:p})."
        );
        check!(
            new != prev && new != next,
            "list_add double add: new={new:p}, prev={prev:p}, next={next:p}."
        );
        // The kernel does not check this: the entry must be on no list.
        let was = (*new).next.get();
        check!(
            was.is_null() || was == POISON_NEXT,
            "list_add of an entry of a list: new={new:p}"
        );
        (*next).prev.set(new);
        (*new).next.set(next);
        (*new).prev.set(prev);
        (*prev).next.set(new);
    }
}

fn empty_head() -> impl PinInit<Links> {
    // SAFETY: The slot is valid for writes, and pinned, so the head does not move.
    unsafe {
        pinned_init::pin_init_from_closure(|slot: *mut Links| {
            slot.write(Links::new());
            let head = &raw const (*slot).0;
            (*head).next.set(head);
            (*head).prev.set(head);
            Ok(())
        })
    }
}

impl<T: Linked> List<T> {
    /// Returns the number of items, and checks all links. For tests.
    pub fn audit(&self) -> usize {
        let (mut count, mut at) = (0, self.head());
        // SAFETY: By the type invariants all items are linked.
        unsafe {
            loop {
                let next = (*at).next.get();
                check!((*next).prev.get() == at, "list corruption: {next:p}->prev");
                if next == self.head() {
                    return count;
                }
                (count, at) = (count + 1, next);
            }
        }
    }
}
