// SPDX-License-Identifier: GPL-2.0

//! What most of the engine uses: pinned initialisation, errors and allocation flags.

#[cfg(not(zs_have_pin_init))]
pub use kernel::init::{pin_init_array_from_fn, pin_init_from_closure, zeroed, PinInit, Zeroable};
#[cfg(zs_have_pin_init)]
pub use pin_init::{
    init_zeroed as zeroed, pin_init_array_from_fn, pin_init_from_closure, PinInit, Zeroable,
};

pub use kernel::alloc::KBox;
pub use kernel::prelude::{
    pin_data, pin_init, pinned_drop, try_pin_init, Error, Pin, Result, EBUSY, EINVAL, EIO, ENOMEM,
    ENOSPC,
};
pub use kernel::str::{CStr, CString};
pub use kernel::sync::Arc;

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use kernel::alloc::flags::GFP_KERNEL;
use kernel::bindings;
use kernel::ffi::c_int;
use kernel::init::InPlaceInit;

/// The older name of the function that initialises a value in place.
#[cfg(zs_have_one_init)]
pub trait PinnedInit<T, E>: PinInit<T, E> {
    /// # Safety
    ///
    /// As for `PinInit::__init`.
    #[inline(always)]
    unsafe fn __pinned_init(self, slot: *mut T) -> Result<(), E> {
        // SAFETY: The requirements are the same.
        unsafe { self.__init(slot) }
    }
}

#[cfg(zs_have_one_init)]
impl<T, E, I: PinInit<T, E>> PinnedInit<T, E> for I {}

/// A pinned box.
pub type PinBox<T> = Pin<KBox<T>>;

/// Allocates a pinned box and initialises it in place. May sleep.
pub fn pin_box<T, E>(init: impl PinInit<T, E>) -> Result<PinBox<T>>
where
    Error: From<E>,
{
    KBox::pin_init(init, GFP_KERNEL)
}

/// Like [`pin_box`], with the flags of a caller. Context: depends on `gfp`.
///
/// `KBox::pin_init` takes `Flags`, which cannot be made from a `gfp_t`.
pub fn pin_box_gfp<T, E>(init: impl PinInit<T, E>, gfp: Gfp) -> Result<PinBox<T>>
where
    Error: From<E>,
{
    let size = Layout::new::<T>().pad_to_align().size();
    // SAFETY: `kzalloc` takes any size and flags.
    let raw = unsafe { crate::bindings::zs_helper_kzalloc(size, gfp.for_metadata()) };
    let raw = NonNull::new(raw.cast::<T>()).ok_or(ENOMEM)?;
    // SAFETY: The memory is newly allocated by kmalloc, as that of any `KBox`. It is large enough, and
    // aligned, as kmalloc aligns to the largest power of two that divides the size.
    let memory = unsafe { KBox::<MaybeUninit<T>>::from_raw(raw.as_ptr().cast()) };
    // SAFETY: The memory is valid for writes, and does not move afterwards. If the initialiser fails,
    // `memory` is freed as uninitialised.
    unsafe { init.__pinned_init(raw.as_ptr())? };
    let _ = KBox::into_raw(memory);
    // SAFETY: The value is initialised, and nobody else has it. It is pinned from here on.
    Ok(unsafe { Pin::new_unchecked(KBox::from_raw(raw.as_ptr())) })
}

/// Allocates a reference-counted value and initialises it in place. May sleep.
pub fn pin_arc<T, E>(init: impl PinInit<T, E>) -> Result<Arc<T>>
where
    Error: From<E>,
{
    Arc::pin_init(init, GFP_KERNEL)
}

/// Allocation flags of a C caller (`gfp_t`), and the NUMA node that it prefers.
#[derive(Clone, Copy)]
pub struct Gfp {
    flags: bindings::gfp_t,
    nid: c_int,
}

impl Gfp {
    /// For allocations that may sleep.
    pub const KERNEL: Gfp = Gfp::from_raw(bindings::GFP_KERNEL, bindings::NUMA_NO_NODE);

    /// Wraps the flags of a C caller and its preferred node, which can be any number: one that is no
    /// node is `NUMA_NO_NODE`.
    pub const fn from_raw(flags: bindings::gfp_t, nid: c_int) -> Self {
        Self { flags, nid }
    }

    /// Returns the flags for destination pages of compaction: no sleeping, warnings or reserves.
    pub fn for_compaction() -> Gfp {
        // SAFETY: The helper returns a constant.
        let flags = unsafe { crate::bindings::zs_helper_gfp_for_compaction() };
        Self::from_raw(flags, bindings::NUMA_NO_NODE)
    }

    /// Returns the flags for pages of objects.
    ///
    /// Clears `__GFP_MOVABLE` if pages cannot move: they would fragment movable page blocks.
    pub fn for_pages(self) -> bindings::gfp_t {
        // SAFETY: The helper only computes with the flags.
        unsafe { crate::bindings::zs_helper_gfp_for_pages(self.flags) }
    }

    /// Returns the preferred node.
    pub fn nid(self) -> c_int {
        self.nid
    }

    /// Returns the flags for metadata. Slabs can be neither in high memory nor movable.
    pub fn for_metadata(self) -> bindings::gfp_t {
        // SAFETY: The helper only computes with the flags.
        unsafe { crate::bindings::zs_helper_gfp_for_metadata(self.flags) }
    }
}
