// SPDX-License-Identifier: GPL-2.0

//! The C interface: conversions between C and [`crate::engine::pool`].

mod registration;
pub mod zs_pool;

pub(crate) use registration::{Directories, ZpoolDriver};

/// Checks at compile time that Rust functions have the types of their C declarations: both branches
/// of an `if` must have one type.
macro_rules! check_prototype {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            let _ = if true { crate::bindings::$name } else { $name };
        };)*
    };
}
pub(crate) use check_prototype;
