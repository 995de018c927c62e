// SPDX-License-Identifier: GPL-2.0

//! A `list_head` list that owns its items.
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

/// The links of an item, for one list.
pub struct Links(UnsafeCell<list_head>, PhantomPinned);

impl Links {
    /// Creates the links of an item that is on no list.
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
    head: Opaque<list_head>,
    _owned: PhantomData<SlabBox<T>>,
}

// SAFETY: The list owns its items, which are `Send`, and is not `Sync`.
unsafe impl<T: Linked + Send> Send for List<T> {}

impl<T: Linked> List<T> {
    /// Creates an empty list.
    pub fn new() -> impl PinInit<Self> {
        // INVARIANT: The head is linked to itself.
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes and pinned.
            head <- Opaque::ffi_init(|slot| unsafe { bindings::zs_helper_list_init(slot) }),
            _owned: PhantomData,
        })
    }

    fn links(item: NonNull<T>) -> *mut list_head {
        // SAFETY: By the requirements of `Linked` there is a `Links` at that offset.
        unsafe {
            UnsafeCell::raw_get(&raw const (*item.as_ptr().byte_add(T::OFFSET).cast::<Links>()).0)
        }
    }

    /// Returns the links of an item, as the pointer that [`List::push`] stored in its neighbour.
    ///
    /// That pointer comes from a box, and may become one again. A pointer made from a shared
    /// reference must not be written through.
    ///
    /// # Safety
    ///
    /// The item must be on a list.
    unsafe fn owned(item: &T) -> *mut list_head {
        // SAFETY: The item is on a list (requirement), so its links and its neighbour's are valid.
        unsafe { (*(*Self::links(NonNull::from(item))).prev).next }
    }

    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        let head = self.head.get();
        // SAFETY: By the type invariants the head is linked.
        unsafe { (*head).next == head }
    }

    /// Returns the first item.
    pub fn front(&self) -> Option<&T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: By the type invariants the head is linked to the links of an item. Callers of
        // `remove` guarantee not to free it while the reference is in use.
        unsafe { Some(&*(*self.head.get()).next.byte_sub(T::OFFSET).cast::<T>()) }
    }

    /// Returns the items, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let head: *const list_head = self.head.get();
        // SAFETY: By the type invariants the head is linked.
        let mut next = unsafe { (*head).next };
        core::iter::from_fn(move || {
            if next.cast_const() == head {
                return None;
            }
            // SAFETY: By the type invariants `next` is the links of an item. Callers of `remove`
            // guarantee not to free it while the reference is in use.
            unsafe {
                let item = &*next.byte_sub(T::OFFSET).cast::<T>();
                next = (*next).next;
                Some(item)
            }
        })
    }

    /// Adds an item at the front or at the tail. The list owns it from now on.
    #[inline]
    pub fn push(&self, item: SlabBox<T>, front: bool) {
        let links = Self::links(item.into_raw());
        // SAFETY: The item comes from a box, so it is valid and on no list. The head is linked.
        unsafe {
            if front {
                bindings::zs_helper_list_add(links, self.head.get());
            } else {
                bindings::zs_helper_list_add_tail(links, self.head.get());
            }
        }
    }

    /// Removes an item. The caller owns it from now on.
    ///
    /// # Safety
    ///
    /// The item must be on this list. The caller must not free it while a reference borrowed
    /// from the list is in use.
    #[inline]
    pub unsafe fn remove(&self, item: &T) -> SlabBox<T> {
        // SAFETY: The item is on this list (safety requirement), which owns its items.
        unsafe {
            let owned = Self::owned(item);
            bindings::zs_helper_list_del(owned);
            SlabBox::from_raw(NonNull::new_unchecked(owned.byte_sub(T::OFFSET).cast()))
        }
    }
}
