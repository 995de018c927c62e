// SPDX-License-Identifier: GPL-2.0

//! What the engine needs of the kernel, one concept per file.
//!
//! `rust/host/src/sys` has the same names for the host. All `unsafe` against C that
//! the engine needs is here.

pub mod array;
pub mod atomic;
pub mod boxed;
pub mod cpu_area;
pub mod list;
pub mod lockdep;
pub mod page;
pub mod prelude;
pub mod report;
pub mod sched;
pub mod shrinker;
pub mod slab;
pub mod spinlock;
pub mod work;
