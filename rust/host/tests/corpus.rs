// SPDX-License-Identifier: GPL-2.0

//! Replays the corpus of the fuzzer. See `fuzz/run`.
#![cfg(not(loom))]

use std::path::Path;

use zsmalloc_host::codec::decode;
use zsmalloc_host::model::{Model, Op};

#[test]
fn the_corpus_of_the_fuzzer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut inputs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 20, "the corpus is incomplete");
    let mut kinds = std::collections::HashSet::new();
    for input in inputs {
        // Names the input if it fails.
        println!("{}", input.display());
        let (setup, ops) = decode(&std::fs::read(&input).unwrap());
        kinds.extend(ops.iter().map(std::mem::discriminant::<Op>));
        Model::run(setup, &ops);
    }
    assert_eq!(kinds.len(), 24, "an operation is missing in the corpus");
}

#[test]
fn any_bytes_say_something() {
    for len in 0..64 {
        for byte in 0..=255 {
            let (setup, ops) = decode(&vec![byte; len]);
            assert!((4..=16).contains(&setup.chain) && setup.sizes.len() == 3);
            assert!(ops.len() <= len);
        }
    }
    let (_, ops) = decode(&[0; 100_000]);
    assert_eq!(ops.len(), 500);
}
