// SPDX-License-Identifier: GPL-2.0

//! The kernel interface of the engine, one concept per file.
//!
//! `rust/host/src/sys` is the same interface for the host. The engine calls C only through this.

pub mod atomic;
pub mod boxed;
pub mod buffer;
pub mod chain;
pub mod cpu_area;
pub mod list;
pub mod lockdep;
pub mod once_box;
pub mod page;
pub mod param;
pub mod prelude;
pub mod raw_page;
pub mod rcu_box;
pub mod report;
pub mod scatterlist;
pub mod sched;
pub mod shrinker;
pub mod slab;
pub mod spinlock;
pub mod trace;
pub mod work;
