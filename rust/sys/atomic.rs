// SPDX-License-Identifier: GPL-2.0

//! Atomics. On the host these may be those of `loom`.

pub use core::hint::spin_loop;
pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
};
