// SPDX-License-Identifier: GPL-2.0

//! The allocator, independent of the kernel.
//!
//! The engine uses only [`core`] and `crate::sys`. The kernel module builds it with a `sys` that
//! wraps kernel primitives. `rust/host` builds the same files with a `sys` on top of `std` or
//! `loom`, so the host tests run the code that the kernel runs.
//!
//! [`pool`] has the API, and is the place to start reading. [`handle_entry`] has the protocol that
//! keeps handles stable without a lock for the whole pool. [`isolated`] and [`class`] have the
//! ownership rule of zspages.
//!
//! Data flows down: pool, class, zspage, object, page. A zspage and its class point to each other,
//! as in C.
//!
//! Safe code outside of the engine cannot break what it relies on. Inside, some functions that are
//! `pub(super)` keep its data consistent, and say in their comments when they may be called: those
//! that change slots and `listed` of a zspage, and those that change an entry.

pub mod access;
pub mod background;
pub mod class;
pub mod compact;
mod compactor;
pub mod events;
pub mod fullness;
pub mod geometry;
pub mod handle_entry;
pub mod handle_table;
pub mod isolated;
pub mod layout;
mod lists;
mod locked_entry;
mod malloc;
pub mod map;
pub mod migrate;
pub mod object;
mod page_batch;
pub mod pool;
mod release;
mod shared;
mod sheaf;
pub mod slots;
pub mod zspage;
