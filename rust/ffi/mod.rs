// SPDX-License-Identifier: GPL-2.0

//! The C face: thin conversions between C and [`crate::engine::pool`].

mod registration;
mod trace;
pub mod zs_pool;

pub(crate) use registration::{DebugfsRoot, ZpoolDriver};

/// Makes sure at compile time that a Rust function is what its C declaration says: both arms have
/// to be of one type.
macro_rules! check_prototype {
    ($($name:ident),* $(,)?) => {
        $(const _: () = {
            let _ = if true { crate::bindings::$name } else { $name };
        };)*
    };
}
pub(crate) use check_prototype;
