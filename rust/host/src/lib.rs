// SPDX-License-Identifier: GPL-2.0

//! The engine on the host: the files that the kernel module is built from, on top of a [`sys`] made
//! of `std`, or of `loom` with `--cfg loom`.
//!
//! Start reading at [`sys::machine`], the fake computer that the engine runs on. It counts
//! allocations, fails them on demand, collects what would go to the kernel log, and panics where a
//! debug kernel would complain.

pub mod c_zsmalloc;
pub mod codec;
pub mod density;
#[path = "../../engine/mod.rs"]
pub mod engine;
pub mod fewest_moves;
pub mod mapping;
pub mod model;
pub mod slab_cache;
pub mod sys;
