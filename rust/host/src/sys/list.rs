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

// As the kernel's: an address that nothing is at.
const POISON_NEXT: *const ListHead = 0xdead_0000_0000_0100_u64 as *const ListHead;
const POISON_PREV: *const ListHead = 0xdead_0000_0000_0122_u64 as *const ListHead;

/// Links for one list.
pub struct Links(ListHead, PhantomPinned);

impl Links {
    /// Of something that is on no list.
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

/// What can be on a [`List`].
///
/// # Safety
///
/// A [`Links`] is at [`Linked::OFFSET`] bytes from the start of the type, and nobody but the list
/// uses it.
pub unsafe trait Linked: Sized {
    /// Where the links are.
    const OFFSET: usize;
}

/// A list of `T` in slab memory.
///
/// # Invariants
///
/// The head is linked to itself, or to the links of boxed `T`s, all of which the list owns.
#[pin_data]
pub struct List<T: Linked> {
    #[pin]
    head: Links,
    _owned: PhantomData<SlabBox<T>>,
}

// SAFETY: A list owns its items, and is only used through whatever protects it.
unsafe impl<T: Linked + Send> Send for List<T> {}

impl<T: Linked> List<T> {
    /// An empty list.
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
        // SAFETY: By the trait's promise there is a `Links` at that offset.
        unsafe { &raw const (*item.as_ptr().byte_add(T::OFFSET).cast::<Links>()).0 }
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        self.head.0.next.get() == self.head()
    }

    /// The first item.
    pub fn front(&self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: The head is linked to the links of an item, which stays as long as it is on the
        // list: to take it off, the list's protector must not be borrowed.
        unsafe { Some(&*self.head.0.next.get().byte_sub(T::OFFSET).cast::<T>()) }
    }

    /// The items, from the first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.head.0.next.get();
        core::iter::from_fn(move || {
            if next == self.head() {
                return None;
            }
            // SAFETY: As in `front`.
            unsafe {
                let item = &*next.byte_sub(T::OFFSET).cast::<T>();
                next = (*next).next.get();
                Some(item)
            }
        })
    }

    /// Puts an item in front of all others, or behind them. The list owns it from here on.
    pub fn push(&self, item: SlabBox<T>, front: bool) {
        let head = self.head();
        // SAFETY: The item was in a box, so it is valid. The head is linked.
        unsafe {
            if front {
                list_add(Self::links(item.into_raw()), head, (*head).next.get());
            } else {
                list_add(Self::links(item.into_raw()), (*head).prev.get(), head);
            }
        }
    }

    /// Moves an item to the front of another list, or of this one, or behind all others there.
    ///
    /// # Safety
    ///
    /// The item must be on this list.
    pub unsafe fn move_to(&self, item: &T, to: &Self, front: bool) {
        // SAFETY: The caller's promise.
        let item = unsafe { self.remove(item) };
        to.push(item, front);
    }

    /// Takes an item off the list. The caller owns it from here on.
    ///
    /// # Safety
    ///
    /// The item must be on this list. It may not be freed while a reference to it is in use that the
    /// list lent.
    pub unsafe fn remove(&self, item: &T) -> SlabBox<T> {
        let entry = Self::links(NonNull::from(item));
        // SAFETY: The item is on this list, by the caller's promise, so its links are valid and the
        // list owns it. The box is made of the pointer that `push` stored: one that comes from a
        // shared reference may not be written through.
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
                "list_del of what is on another list, {entry:p}"
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

    // More than the kernel checks. Looks at the first few only, as lists may be long.
    //
    // SAFETY: The list is linked properly.
    unsafe fn contains(&self, entry: *const ListHead) -> bool {
        let mut at = self.head();
        for _ in 0..64 {
            // SAFETY: The caller's promise.
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

// SAFETY: All must be valid.
unsafe fn list_add(new: *const ListHead, prev: *const ListHead, next: *const ListHead) {
    check!(!next.is_null(), "list_add corruption. next is NULL.");
    check!(!prev.is_null(), "list_add corruption. prev is NULL.");
    // SAFETY: The caller's promise.
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
        // More than the kernel checks: it is on no list at all.
        let was = (*new).next.get();
        check!(
            was.is_null() || was == POISON_NEXT,
            "list_add of what is on a list: new={new:p}"
        );
        (*next).prev.set(new);
        (*new).next.set(next);
        (*new).prev.set(prev);
        (*prev).next.set(new);
    }
}

fn empty_head() -> impl PinInit<Links> {
    // SAFETY: The slot is initialised, and stays where it is as it is pinned.
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
    /// How many items there are, checking all links. For tests.
    pub fn audit(&self) -> usize {
        let (mut count, mut at) = (0, self.head());
        // SAFETY: By the type invariants all are linked.
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
