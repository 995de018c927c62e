// SPDX-License-Identifier: GPL-2.0

//! The kernel's `list_head`, as a list that owns what is on it.
//!
//! C header: [`include/linux/list.h`](srctree/include/linux/list.h)

use core::cell::UnsafeCell;
use core::marker::{PhantomData, PhantomPinned};
use core::ptr::NonNull;

use kernel::bindings::list_head;
use kernel::types::Opaque;

use super::prelude::*;
use super::slab::SlabBox;
use crate::bindings;

/// Links for one list.
pub struct Links(UnsafeCell<list_head>, PhantomPinned);

impl Links {
    /// Of something that is on no list.
    pub const fn new() -> Self {
        Self(
            UnsafeCell::new(list_head {
                next: core::ptr::null_mut(),
                prev: core::ptr::null_mut(),
            }),
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
    head: Opaque<list_head>,
    _owned: PhantomData<SlabBox<T>>,
}

// SAFETY: A list owns its items, and is only used through whatever protects it.
unsafe impl<T: Linked + Send> Send for List<T> {}

impl<T: Linked> List<T> {
    /// An empty list.
    pub fn new() -> impl PinInit<Self> {
        // INVARIANT: The head is linked to itself.
        pin_init!(Self {
            // SAFETY: `slot` is valid, and stays where it is as it is pinned.
            head <- Opaque::ffi_init(|slot| unsafe { bindings::zs_helper_list_init(slot) }),
            _owned: PhantomData,
        })
    }

    fn links(item: NonNull<T>) -> *mut list_head {
        // SAFETY: By the trait's promise there is a `Links` at that offset.
        unsafe {
            UnsafeCell::raw_get(&raw const (*item.as_ptr().byte_add(T::OFFSET).cast::<Links>()).0)
        }
    }

    /// The links of an item, by the pointer that [`List::push`] stored in its neighbour.
    ///
    /// The list keeps and returns this one. A pointer that comes from a shared reference must not
    /// be written through, and so must not become a box.
    ///
    /// # Safety
    ///
    /// The item must be on a list.
    unsafe fn owned(item: &T) -> *mut list_head {
        // SAFETY: The item is on a list, by the caller's promise, so its links are valid.
        unsafe { (*(*Self::links(NonNull::from(item))).prev).next }
    }

    /// Whether nothing is on the list.
    pub fn is_empty(&self) -> bool {
        let head = self.head.get();
        // SAFETY: By the type invariants the head is linked.
        unsafe { (*head).next == head }
    }

    /// The first item.
    pub fn front(&self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: The head is linked to the links of an item. Who takes that off the list promises
        // not to free it while what is lent here is in use.
        unsafe { Some(&*(*self.head.get()).next.byte_sub(T::OFFSET).cast::<T>()) }
    }

    /// The items, from the first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let head: *const list_head = self.head.get();
        // SAFETY: By the type invariants the head is linked, and so are all items.
        let mut next = unsafe { (*head).next };
        core::iter::from_fn(move || {
            if next.cast_const() == head {
                return None;
            }
            // SAFETY: As in `front`.
            unsafe {
                let item = &*next.byte_sub(T::OFFSET).cast::<T>();
                next = (*next).next;
                Some(item)
            }
        })
    }

    /// Puts an item in front of all others, or behind them. The list owns it from here on.
    #[inline]
    pub fn push(&self, item: SlabBox<T>, front: bool) {
        let links = Self::links(item.into_raw());
        // SAFETY: The item was in a box, so it is on no list, and is valid. The head is linked.
        unsafe {
            if front {
                bindings::zs_helper_list_add(links, self.head.get());
            } else {
                bindings::zs_helper_list_add_tail(links, self.head.get());
            }
        }
    }

    /// Moves an item to the front of another list, or of this one, or behind all others there.
    ///
    /// # Safety
    ///
    /// The item must be on this list.
    #[inline]
    pub unsafe fn move_to(&self, item: &T, to: &Self, front: bool) {
        // SAFETY: The item is on this list, by the caller's promise; the other's head is linked.
        // INVARIANT: What the other list has now it owns.
        unsafe {
            let owned = Self::owned(item);
            if front {
                bindings::zs_helper_list_move(owned, to.head.get());
            } else {
                bindings::zs_helper_list_move_tail(owned, to.head.get());
            }
        }
    }

    /// Takes an item off the list. The caller owns it from here on.
    ///
    /// # Safety
    ///
    /// The item must be on this list. It may not be freed while a reference to it is in use that the
    /// list lent.
    pub unsafe fn remove(&self, item: &T) -> SlabBox<T> {
        // SAFETY: The item is on this list, by the caller's promise, so the list owns it.
        unsafe {
            let owned = Self::owned(item);
            bindings::zs_helper_list_del(owned);
            SlabBox::from_raw(NonNull::new_unchecked(owned.byte_sub(T::OFFSET).cast()))
        }
    }
}
