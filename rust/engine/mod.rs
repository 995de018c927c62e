// SPDX-License-Identifier: GPL-2.0

//! The allocator itself, with no kernel in it.
//!
//! Everything here is written against [`core`] and `crate::sys`. The kernel modules mount it over
//! the `sys` that wraps the kernel's primitives; `rust/host` mounts the very same files over a
//! `sys` made of `std` (or `loom`), so that what the host tests run is what the kernel runs.
//!
//! Where to start reading: [`pool`] is the API and shows the life of an object from top to bottom;
//! [`handle_entry`] is the protocol that makes a handle stable without a lock the pool shares; [`isolated`]
//! and [`class`] are the ownership rule ("on one list, or isolated").
//!
//! Data flows one way: pool, class, zspage, object, page.

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
pub mod map;
pub mod migrate;
pub mod object;
pub mod owned_page;
pub mod pool;
mod release;
mod shared;
pub mod slots;
pub mod zspage;
