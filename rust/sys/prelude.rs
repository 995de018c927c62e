// SPDX-License-Identifier: GPL-2.0

//! What the engine uses everywhere: pinned initialisation, errors, allocation flags.

pub use kernel::init::{pin_init_array_from_fn, pin_init_from_closure, zeroed, PinInit};
pub use kernel::prelude::{
    pin_data, pin_init, pinned_drop, try_pin_init, Error, Pin, Result, EBUSY, EINVAL, EIO, ENOMEM,
    ENOSPC,
};
pub use kernel::str::{CStr, CString};
pub use kernel::sync::Arc;

use kernel::alloc::{flags::GFP_KERNEL, KBox};
use kernel::bindings;
use kernel::init::InPlaceInit;

/// A pinned box.
pub type PinBox<T> = Pin<KBox<T>>;

/// Allocates and initialises in place. May sleep.
pub fn pin_box<T, E>(init: impl PinInit<T, E>) -> Result<PinBox<T>>
where
    Error: From<E>,
{
    KBox::pin_init(init, GFP_KERNEL)
}

/// The same, with a count of its owners.
pub fn pin_arc<T, E>(init: impl PinInit<T, E>) -> Result<Arc<T>>
where
    Error: From<E>,
{
    Arc::pin_init(init, GFP_KERNEL)
}

/// Allocation flags from a C caller (`gfp_t`).
#[derive(Clone, Copy)]
pub struct Gfp(bindings::gfp_t);

impl Gfp {
    /// For allocations that may sleep.
    pub const KERNEL: Gfp = Gfp(bindings::GFP_KERNEL);

    /// Takes a caller's flags.
    pub fn from_raw(flags: bindings::gfp_t) -> Self {
        Self(flags)
    }

    /// For pages that compaction puts objects into: it cannot sleep, and gives back more.
    pub fn for_compaction() -> Gfp {
        // SAFETY: Just a number.
        Gfp(unsafe { crate::bindings::zs_helper_gfp_for_compaction() })
    }

    /// The flags for pages of objects.
    ///
    /// Movable only where pages really are, else they would sit in movable blocks for good.
    pub fn for_pages(self) -> bindings::gfp_t {
        // SAFETY: Computes with the flags.
        unsafe { crate::bindings::zs_helper_gfp_for_pages(self.0) }
    }

    /// The flags for metadata: slabs can be neither high memory nor movable.
    pub fn for_metadata(self) -> bindings::gfp_t {
        // SAFETY: Computes with the flags.
        unsafe { crate::bindings::zs_helper_gfp_for_metadata(self.0) }
    }
}
