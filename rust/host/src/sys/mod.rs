// SPDX-License-Identifier: GPL-2.0

//! The kernel services that the engine needs, faked on the host.
//!
//! The names are those of `rust/sys`. Only tests use [`machine`] and [`mm`].

/// Like `assert!`, but silent while a test unwinds from a failure. A second panic would hide the
/// first.
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition && !std::thread::panicking() {
            panic!($($message)+);
        }
    };
}

pub mod atomic;
pub mod boxed;
#[path = "../../../sys/buffer.rs"]
pub mod buffer;
#[path = "../../../sys/chain.rs"]
pub mod chain;
pub mod cpu_area;
pub mod list;
pub mod lockdep;
pub mod machine;
pub mod mm;
#[path = "../../../sys/once_box.rs"]
pub mod once_box;
#[path = "../../../sys/page.rs"]
pub mod page;
pub mod param;
pub mod prelude;
pub mod raw_page;
#[path = "../../../sys/rcu_box.rs"]
pub mod rcu_box;
pub mod report;
pub mod scatterlist;
pub mod sched;
pub mod slab;
pub mod spinlock;
pub mod trace;
#[cfg(loom)]
pub mod watch;
pub mod work;
