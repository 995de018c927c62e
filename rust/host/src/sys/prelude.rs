// SPDX-License-Identifier: GPL-2.0

//! What the engine uses everywhere: pinned initialisation, errors, allocation flags.

pub use core::ffi::CStr;
pub use core::pin::Pin;
pub use pinned_init::{
    init_zeroed as zeroed, pin_data, pin_init, pin_init_array_from_fn, pin_init_from_closure,
    pinned_drop, try_pin_init, PinInit, Zeroable,
};

use core::convert::Infallible;
use core::mem::MaybeUninit;
use core::ops::Deref;

use super::machine::{self, Point};

/// An error code of the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(i32);

/// Device or resource busy.
pub const EBUSY: Error = Error(-16);
/// Input or output error.
pub const EIO: Error = Error(-5);
/// Invalid argument.
pub const EINVAL: Error = Error(-22);
/// Out of memory.
pub const ENOMEM: Error = Error(-12);
/// No space left on device.
pub const ENOSPC: Error = Error(-28);

/// Like `kernel::error::Result`.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

impl Error {
    /// Returns the negative error code of C.
    pub fn to_errno(self) -> i32 {
        self.0
    }
}

impl core::fmt::Debug for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            EBUSY => f.write_str("EBUSY"),
            EINVAL => f.write_str("EINVAL"),
            EIO => f.write_str("EIO"),
            ENOMEM => f.write_str("ENOMEM"),
            ENOSPC => f.write_str("ENOSPC"),
            Error(number) => write!(f, "Error({number})"),
        }
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Like `kernel::str::CString`. The allocation may fail.
pub struct CString(std::ffi::CString);

impl TryFrom<&CStr> for CString {
    type Error = Error;

    fn try_from(text: &CStr) -> Result<Self> {
        machine::current().allocation(Point::Boxed, Gfp::KERNEL)?;
        Ok(Self(text.to_owned()))
    }
}

impl Deref for CString {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        &self.0
    }
}

/// Like `kernel::alloc::KBox`.
pub type KBox<T> = Box<T>;

/// A pinned box.
pub type PinBox<T> = Pin<KBox<T>>;

/// Allocates a pinned box and initialises it in place. May sleep.
pub fn pin_box<T, E>(init: impl PinInit<T, E>) -> Result<PinBox<T>>
where
    Error: From<E>,
{
    pin_box_gfp(init, Gfp::KERNEL)
}

/// Like [`pin_box`], with the flags of a caller. Context: depends on `gfp`.
pub fn pin_box_gfp<T, E>(init: impl PinInit<T, E>, gfp: Gfp) -> Result<PinBox<T>>
where
    Error: From<E>,
{
    let gfp = Gfp::from_raw(gfp.for_metadata(), -1);
    machine::current().allocation(Point::Boxed, gfp)?;
    let mut memory: Box<MaybeUninit<T>> = Box::new_uninit();
    // SAFETY: The memory is valid for writes. If the initialisation fails, it is freed as
    // uninitialised. Otherwise it is pinned.
    unsafe {
        init.__pinned_init(memory.as_mut_ptr())?;
        Ok(Pin::new_unchecked(memory.assume_init()))
    }
}

/// Like `kernel::sync::Arc`. The value is pinned.
pub struct Arc<T>(std::sync::Arc<PinBox<T>>);

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Like [`pin_box`], with a reference count.
pub fn pin_arc<T, E>(init: impl PinInit<T, E>) -> Result<Arc<T>>
where
    Error: From<E>,
{
    Ok(Arc(std::sync::Arc::new(pin_box(init)?)))
}

/// Allocation flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gfp(u32);

impl Gfp {
    /// May sleep (`__GFP_DIRECT_RECLAIM`).
    pub const DIRECT_RECLAIM: u32 = 1;
    /// May be memory that is not always mapped (`__GFP_HIGHMEM`).
    pub const HIGHMEM: u32 = 2;
    /// Is for movable memory (`__GFP_MOVABLE`).
    pub const MOVABLE: u32 = 4;

    /// For allocations that may sleep.
    pub const KERNEL: Gfp = Gfp(Gfp::DIRECT_RECLAIM);
    /// For allocations that may not sleep.
    pub const NOWAIT: Gfp = Gfp(0);
    /// The flags of zram.
    pub const ZRAM: Gfp = Gfp(Gfp::DIRECT_RECLAIM | Gfp::HIGHMEM | Gfp::MOVABLE);
    /// The flags of zswap.
    pub const ZSWAP: Gfp = Gfp(Gfp::HIGHMEM | Gfp::MOVABLE);

    /// Wraps the flags of a caller. The host has one node.
    pub fn from_raw(flags: u32, _nid: i32) -> Self {
        Self(flags)
    }

    /// Returns the flags for destination pages of compaction, which may not sleep.
    pub fn for_compaction() -> Gfp {
        Gfp::ZSWAP
    }

    /// Returns the flags for pages of zspages.
    pub fn for_pages(self) -> u32 {
        self.0
    }

    /// Returns the flags for metadata, which can be neither high memory nor movable.
    pub fn for_metadata(self) -> u32 {
        self.0 & !(Gfp::HIGHMEM | Gfp::MOVABLE)
    }

    /// Returns whether an allocation with these flags may sleep.
    pub fn may_sleep(self) -> bool {
        self.0 & Gfp::DIRECT_RECLAIM != 0
    }
}
