// SPDX-License-Identifier: GPL-2.0

//! Bindings to the helpers, and to what of the kernel `kernel::bindings` does not have.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    improper_ctypes,
    unreachable_pub,
    unused_imports,
    dead_code,
    unsafe_op_in_unsafe_fn
)]

include!(concat!(
    env!("ZS_OBJ"),
    "/rust/bindings/bindings_generated.rs"
));
