// SPDX-License-Identifier: GPL-2.0

//! The handle table: chains of free words against vectors, generations, and what happens when
//! memory ends.
#![cfg(not(loom))]

use std::collections::{HashMap, HashSet};

use zsmalloc_host::engine::handle_table::{FreeHandles, Handle, HandleTable, MAX_HANDLES};
use zsmalloc_host::engine::word::{Place, Refused, GENERATION_BITS};
use zsmalloc_host::sys::machine::{boot, Config, Point, Random};
use zsmalloc_host::sys::prelude::*;

fn place() -> Place {
    Place::new(1, 8, 3, false, false)
}

fn table() -> PinBox<HandleTable> {
    pin_box(HandleTable::new()).unwrap()
}

// Everything in a chain, as live handles.
fn drain(table: &HandleTable, chain: &FreeHandles) -> Vec<Handle> {
    let len = chain.len();
    let handles: Vec<Handle> = std::iter::from_fn(|| {
        let (handle, word) = chain.pop(table)?;
        word.publish(place());
        Some(handle)
    })
    .collect();
    assert_eq!(handles.len(), len, "the chain is as long as it says");
    assert!(chain.is_empty());
    handles
}

// So many words, in as many takings as that needs.
fn reserve(table: &HandleTable, count: usize) -> Result<FreeHandles> {
    let chain = FreeHandles::new();
    while chain.len() < count {
        let more = table.reserve(count - chain.len(), Gfp::KERNEL)?;
        assert!(!more.is_empty() && more.len() <= count - chain.len());
        chain.append(table, more);
    }
    Ok(chain)
}

fn refill(table: &HandleTable, chain: &FreeHandles, handles: &[Handle]) {
    for &handle in handles {
        let word = table.word(handle).unwrap();
        chain.push_retired(handle, word, place()).unwrap();
    }
}

#[test]
fn handles_are_never_null_nor_errors_and_differ() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, 2000).unwrap();
    assert_eq!(chain.len(), 2000);
    let handles = drain(&table, &chain);
    let raw: HashSet<usize> = handles.iter().map(|handle| handle.into_raw()).collect();
    assert_eq!(raw.len(), 2000);
    for &handle in &handles {
        let raw = handle.into_raw();
        // IS_ERR_OR_NULL(), and whoever uses low bits of a handle.
        assert!(
            raw != 0 && raw < -4095isize as usize && raw % 8 == 0,
            "{raw:#x}"
        );
        assert_eq!(Handle::from_raw(raw), handle);
        assert_eq!(Handle::from_object(handle.in_object()), Some(handle));
        assert_eq!(table.word(handle).unwrap().place(), Some(place()));
    }
    assert_eq!(Handle::from_object(0), None);
    drop(chain);
}

#[test]
fn chains_are_sets() {
    let machine = boot(Config::default());
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let table = table();
        let chains: Vec<FreeHandles> = (0..4).map(|_| FreeHandles::new()).collect();
        let mut lens = [0; 4];
        let mut live: Vec<Handle> = Vec::new();
        let mut total = 0;
        for _ in 0..200 {
            let (a, b) = (random.below(4), random.below(4));
            match random.below(6) {
                0 => {
                    let count = random.below(40);
                    chains[a].append(&table, reserve(&table, count).unwrap());
                    (lens[a], total) = (lens[a] + count, total + count);
                }
                1 => {
                    let count = random.below(50);
                    let taken = chains[a].split(&table, count);
                    assert_eq!(taken.len(), count.min(lens[a]));
                    lens[a] -= taken.len();
                    lens[b] += taken.len();
                    chains[b].append(&table, taken);
                }
                2 => {
                    let taken = chains[a].split(&table, random.below(9));
                    lens[a] -= taken.len();
                    total -= taken.len();
                    table.give_back(taken);
                }
                3 => {
                    let popped = chains[a].pop(&table);
                    assert_eq!(popped.is_some(), lens[a] > 0);
                    if let Some((handle, word)) = popped {
                        word.publish(place());
                        live.push(handle);
                        lens[a] -= 1;
                    }
                }
                _ if !live.is_empty() => {
                    let handle = live.swap_remove(random.below(live.len()));
                    refill(&table, &chains[a], &[handle]);
                    lens[a] += 1;
                }
                _ => {}
            }
            for (chain, len) in chains.iter().zip(lens) {
                assert_eq!((chain.len(), chain.is_empty()), (len, len == 0));
            }
        }
        // No word is in two chains, or lost.
        for chain in &chains {
            live.extend(drain(&table, chain));
        }
        let distinct: HashSet<Handle> = live.iter().copied().collect();
        assert_eq!((live.len(), distinct.len()), (total, total), "seed {seed}");
        // All that was given back can be had again: the table does not grow.
        let pages = table.pages();
        let rest = reserve(&table, pages.saturating_sub(1) * 512 - total);
        assert_eq!(table.pages(), pages);
        assert_eq!(machine.tables(), pages);
        drop(rest.unwrap());
    }
}

#[test]
fn generations_rise_and_zero_is_left_out() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = table.reserve(1, Gfp::KERNEL).unwrap();
    let generations = 1usize << GENERATION_BITS;
    let mut seen = HashSet::new();
    let mut first = None;
    for n in 0..generations - 1 {
        let handle = drain(&table, &chain)[0];
        assert_ne!(handle.into_raw(), 0);
        first.get_or_insert(handle);
        assert!(seen.insert(handle), "generation {n} came twice");
        let word = table.word(handle).unwrap();
        assert_eq!(word.place(), Some(place()));
        chain.push_retired(handle, word, place()).unwrap();
        assert_eq!(word.lock(), Err(Refused::Free));
    }
    // Then they begin again.
    assert_eq!(drain(&table, &chain)[0], first.unwrap());
}

#[test]
fn retiring_twice_is_refused() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = table.reserve(3, Gfp::KERNEL).unwrap();
    let handles = drain(&table, &chain);
    let word = table.word(handles[0]).unwrap();
    chain.push_retired(handles[0], word, place()).unwrap();
    let again = chain.push_retired(handles[0], word, place());
    assert_eq!(again, Err(Refused::Free));
    assert_eq!(chain.len(), 1, "it is in the chain once");
    let word = table.word(handles[1]).unwrap();
    let elsewhere = chain.push_retired(handles[1], word, Place::new(9, 8, 3, false, false));
    assert_eq!(elsewhere, Err(Refused::Moved));
    word.lock().unwrap();
    let pinned = chain.push_retired(handles[1], word, place());
    assert_eq!(pinned, Err(Refused::Busy));
    assert_eq!(chain.len(), 1);
}

#[test]
fn any_number_can_be_looked_up() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = table.reserve(100, Gfp::KERNEL).unwrap();
    let handles: HashMap<usize, Handle> = drain(&table, &chain)
        .into_iter()
        .map(|handle| (handle.into_raw(), handle))
        .collect();
    let mut random = Random::new(3);
    let numbers = (0..64)
        .flat_map(|bit| [(1usize << bit) - 1, 1 << bit, !(1 << bit)])
        .chain((0..10_000).map(|_| random.next_u64() as usize));
    for raw in numbers {
        // No panic and no access beyond the table, which has one leaf; but for a word of it, the
        // number names none.
        let word = table.word(Handle::from_raw(raw));
        if handles.contains_key(&raw) {
            assert!(word.is_some());
        }
        if let Some(word) = word {
            assert!(word.place().is_some() || word.link().is_some());
        }
    }
    assert!(table.word(Handle::from_raw(MAX_HANDLES << 3)).is_none());
    assert!(table.word(Handle::from_raw(usize::MAX)).is_none());
}

#[test]
fn without_memory_nothing_is_taken() {
    let machine = boot(Config::default());
    let table = table();
    // A middle and a leaf, each of which can fail.
    for fail in 0..2 {
        machine.fail_nth(fail, &[Point::Table]);
        assert_eq!(table.reserve(10, Gfp::KERNEL).err(), Some(ENOMEM));
        assert!(!machine.fail_none(), "the failure came");
    }
    // Half way: the first leaf is there, the second is not.
    let chain = reserve(&table, 500).unwrap();
    machine.fail_nth(0, &[Point::Table]);
    let part = reserve(&table, 12).unwrap();
    assert_eq!(table.reserve(1, Gfp::KERNEL).err(), Some(ENOMEM));
    table.give_back(part);
    machine.fail_none();
    let all = reserve(&table, table.pages().saturating_sub(1) * 512 - 500);
    assert_eq!(machine.tables(), table.pages());
    let mut handles = drain(&table, &chain);
    handles.extend(drain(&table, &all.unwrap()));
    let distinct: HashSet<Handle> = handles.iter().copied().collect();
    assert_eq!(distinct.len(), handles.len());
}

#[test]
fn the_table_grows_over_its_levels() {
    let machine = boot(Config::default());
    let table = table();
    // More than a middle covers: 512 leaves of 512 words.
    let count = 512 * 512 + 1000;
    let chain = reserve(&table, count).unwrap();
    let handles = drain(&table, &chain);
    assert_eq!(handles.iter().collect::<HashSet<_>>().len(), count);
    assert_eq!(table.pages(), 512 + 2 + 2);
    assert_eq!(machine.tables(), table.pages());
    for handle in handles.iter().step_by(997) {
        assert_eq!(table.word(*handle).unwrap().place(), Some(place()));
    }
}

#[test]
fn threads_share_a_table() {
    let machine = boot(Config {
        chaos: true,
        ..Config::default()
    });
    let table = table();
    let all = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (machine, table, all) = (machine.share(), &table, &all);
            scope.spawn(move || {
                let _entered = machine.enter();
                let mut random = Random::new(seed);
                let mine = FreeHandles::new();
                for _ in 0..200 {
                    mine.append(table, table.reserve(random.below(30), Gfp::KERNEL).unwrap());
                    table.give_back(mine.split(table, random.below(25)));
                }
                all.lock().unwrap().extend(drain(table, &mine));
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}
