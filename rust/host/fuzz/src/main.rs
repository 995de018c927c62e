// SPDX-License-Identifier: GPL-2.0

//! Runs the operations that libFuzzer makes up on a pool and its model. See `run` in this folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zsmalloc_host::codec::decode;
use zsmalloc_host::model::Model;

fuzz_target!(|bytes: &[u8]| {
    let (setup, ops) = decode(bytes);
    Model::run(setup, &ops);
});
