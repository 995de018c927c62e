// SPDX-License-Identifier: GPL-2.0

//! Random operations on a pool and on the model in `src/model.rs`.
//!
//! Every run is the same. `PROPTEST_RNG_SEED=<number>` and `PROPTEST_CASES=<number>` change that. A
//! failure prints the shortest sequence of operations that fails.
#![cfg(not(loom))]

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::cell::RefCell;
use zsmalloc_host::model::{Happened, Model, Op, Setup};
use zsmalloc_host::sys::page::PAGE_SIZE;

// How much larger pages are than 4 KiB.
const SCALE: usize = PAGE_SIZE / 4096;

fn config(cases: u32) -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(20230416);
    }
    config.failure_persistence = None;
    config.max_shrink_iters = 1500;
    config
}

// Prints as one line.
#[derive(Clone)]
struct Script(Vec<Op>);

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

fn setups() -> impl Strategy<Value = Setup> {
    // Small, spanning pages, huge, and two to a page.
    let size = prop_oneof![
        3 => 1usize..=PAGE_SIZE,
        1 => 24usize..=128,
        2 => 1000 * SCALE..=3300 * SCALE,
        1 => 3600 * SCALE..=PAGE_SIZE,
        1 => prop::sample::select(vec![1, 24, 25, 2040, 2041, 3256, 3257, 3625, 4088, 4089, PAGE_SIZE]),
    ];
    (
        prop_oneof![Just(4usize), Just(8), 4usize..=16, Just(16)],
        any::<bool>(),
        prop::collection::vec(size, 1..4),
        any::<bool>(),
    )
        .prop_map(|(chain, packed, sizes, destroy_full)| Setup {
            chain,
            packed,
            sizes,
            destroy_full,
        })
}

fn op() -> impl Strategy<Value = Op> {
    let which = any::<usize>;
    prop_oneof![
        24 => which().prop_map(Op::Malloc),
        2 => prop_oneof![0usize..=PAGE_SIZE + 104, Just(usize::MAX)].prop_map(Op::MallocBytes),
        3 => (which(), which()).prop_map(|(size, pass)| Op::MallocFailing(size, pass)),
        16 => which().prop_map(Op::Free),
        1 => which().prop_map(Op::FreeAgain),
        2 => any::<u64>().prop_map(Op::Bogus),
        2 => which().prop_map(Op::Read),
        3 => (which(), any::<u64>()).prop_map(|(which, number)| Op::Update(which, number)),
        2 => (which(), any::<u64>()).prop_map(|(which, number)| Op::Overwrite(which, number)),
        2 => (which(), any::<u64>()).prop_map(|(which, number)| Op::Write(which, number)),
        4 => (which(), any::<bool>()).prop_map(|(which, list)| Op::ReadBegin(which, list)),
        3 => which().prop_map(Op::ReadEnd),
        3 => (which(), which(), any::<bool>()).prop_map(|(cpu, which, write)| Op::Hold(cpu, which, write)),
        3 => which().prop_map(Op::LetGo),
        1 => (which(), which()).prop_map(|(a, b)| Op::Nest(a, b)),
        2 => Just(Op::Compact),
        3 => (1usize..12).prop_map(Op::CompactAmid),
        4 => which().prop_map(Op::Migrate),
        1 => Just(Op::MigrateAll),
        3 => which().prop_map(Op::LockPage),
        2 => Just(Op::UnlockPages),
        2 => which().prop_map(Op::Isolate),
        2 => (which(), any::<bool>()).prop_map(|(which, migrate)| Op::EndIsolation(which, migrate)),
        2 => Just(Op::Work),
    ]
}

// Allocates first and then frees most objects, so that compaction has something to do.
fn fragmented() -> impl Strategy<Value = Script> {
    let malloc = prop::collection::vec(any::<usize>().prop_map(Op::Malloc), 20..120);
    let free = prop::collection::vec(any::<usize>().prop_map(Op::Free), 10..100);
    let rest = prop::collection::vec(op(), 1..40);
    (malloc, free, rest).prop_map(|(malloc, free, rest)| Script([malloc, free, rest].concat()))
}

// Runs `cases` random scripts, and more with larger pages, where some events are rarer. Together they
// must have caused every event.
fn run(cases: u32, scripts: impl Strategy<Value = Script>) {
    let total = RefCell::new(Happened::new());
    let cases = cases * SCALE.min(8) as u32;
    TestRunner::new(config(cases))
        .run(&(setups(), scripts), |(setup, script)| {
            for (what, count) in Model::run(setup, &script.0) {
                *total.borrow_mut().entry(what).or_default() += count;
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    let total = total.into_inner();
    println!("{total:?}");
    assert!(
        !total.is_empty() && total.values().all(|&count| count > 0),
        "{total:?}"
    );
}

#[test]
fn any_sequence() {
    run(300, prop::collection::vec(op(), 1..120).prop_map(Script));
}

#[test]
fn any_sequence_in_a_fragmented_pool() {
    run(200, fragmented());
}
