// SPDX-License-Identifier: GPL-2.0

//! The engine on the host: the very files that the kernel module is built of, over a [`sys`] that
//! is made of `std` (or of `loom`, with `--cfg loom`).
//!
//! [`sys::machine`] is where tests begin: it is the computer that the engine believes to run on.
//! It counts what is allocated, fails allocations on demand, collects what would go to the kernel
//! log, and panics where a debug kernel would complain.

pub mod codec;
#[path = "../../engine/mod.rs"]
pub mod engine;
pub mod fewest_moves;
pub mod mapping;
pub mod model;
pub mod sys;
