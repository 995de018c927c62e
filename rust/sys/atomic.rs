// SPDX-License-Identifier: GPL-2.0

//! Atomics. The host models use the atomics of `loom` instead.

pub use core::hint::spin_loop;
pub use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, AtomicU8, AtomicUsize, Ordering,
};
