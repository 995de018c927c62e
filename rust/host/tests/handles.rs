// SPDX-License-Identifier: GPL-2.0

//! The handle table: chains of free entries compared with vectors, generations, and failing
//! allocations.
#![cfg(not(loom))]

use std::collections::{HashMap, HashSet};

use zsmalloc_host::engine::handle_entry::{ObjLocation, Refused, GENERATION_BITS};
use zsmalloc_host::engine::handle_table::{FreeHandles, Handle, HandleTable, MAX_HANDLES};
use zsmalloc_host::sys::cpu_area::on_cpu;
use zsmalloc_host::sys::machine::{boot, Config, Point, Random};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::sched::{with_hook, NoPreemption};

// Returns the entries, in a read-side section that ends with the statement.
macro_rules! entries {
    ($table:expr) => {
        $table.entries(NoPreemption::new().rcu())
    };
}

fn location() -> ObjLocation {
    ObjLocation::new(1, 8, false, false)
}

fn table() -> PinBox<HandleTable> {
    pin_box(HandleTable::new()).unwrap()
}

// Takes all entries of a chain into use, and returns their handles.
fn drain(table: &HandleTable, chain: &FreeHandles) -> Vec<Handle> {
    let len = chain.len();
    let handles: Vec<Handle> = std::iter::from_fn(|| {
        let section = NoPreemption::new();
        let (handle, entry) = chain.pop(table.entries(section.rcu()))?;
        entry.record_obj(location(), handle.generation());
        Some(handle)
    })
    .collect();
    assert_eq!(handles.len(), len, "length of the chain");
    assert!(chain.is_empty());
    handles
}

// Reserves `count` entries, in several steps if needed.
fn reserve(table: &HandleTable, count: usize) -> Result<FreeHandles> {
    let chain = FreeHandles::new();
    while chain.len() < count {
        let more = table.reserve(count - chain.len(), Gfp::KERNEL)?;
        assert!(!more.is_empty() && more.len() <= count - chain.len());
        chain.append(entries!(table), more);
    }
    Ok(chain)
}

fn refill(table: &HandleTable, chain: &FreeHandles, handles: &[Handle]) {
    let section = NoPreemption::new();
    let entries = table.entries(section.rcu());
    for &handle in handles {
        let entry = entries.entry(handle).unwrap();
        entry.try_lock(handle.generation()).unwrap();
        chain.push_retired(entries, handle, entry);
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
    let section = NoPreemption::new();
    let entries = table.entries(section.rcu());
    for &handle in &handles {
        let raw = handle.into_raw();
        // Like IS_ERR_OR_NULL(). Users may keep flags in the low bits.
        assert!(
            raw != 0 && raw < -4095isize as usize && raw % 8 == 0,
            "{raw:#x}"
        );
        assert_eq!(Handle::from_raw(raw), handle);
        let [by_handle, by_object] = [entries.entry(handle), entries.entry_of(handle.in_object())]
            .map(|entry| std::ptr::from_ref(entry.unwrap().memory()));
        assert_eq!(by_handle, by_object);
        assert_eq!(entries.entry(handle).unwrap().location(), Some(location()));
    }
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
                    let more = reserve(&table, count).unwrap();
                    chains[a].append(entries!(table), more);
                    (lens[a], total) = (lens[a] + count, total + count);
                }
                1 => {
                    let count = random.below(50);
                    let taken = chains[a].split(entries!(table), count);
                    let most = count.min(lens[a]);
                    assert_eq!(taken.len(), most, "seed {seed}: taken of a chain");
                    lens[a] -= taken.len();
                    lens[b] += taken.len();
                    chains[b].append(entries!(table), taken);
                }
                2 => {
                    let taken = chains[a].split(entries!(table), random.below(9));
                    lens[a] -= taken.len();
                    total -= taken.len();
                    let _ = table.give_back(taken);
                }
                3 => {
                    let section = NoPreemption::new();
                    let popped = chains[a].pop(table.entries(section.rcu()));
                    assert_eq!(popped.is_some(), lens[a] > 0);
                    if let Some((handle, entry)) = popped {
                        entry.record_obj(location(), handle.generation());
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
        // No entry is lost, or in two chains.
        for chain in &chains {
            live.extend(drain(&table, chain));
        }
        let distinct: HashSet<Handle> = live.iter().copied().collect();
        assert_eq!((live.len(), distinct.len()), (total, total), "seed {seed}");
        // All entries that were given back can be reserved again without growing the table.
        let pages = table.pages();
        let rest = reserve(&table, pages.saturating_sub(1) * 512 - total);
        assert_eq!(table.pages(), pages);
        assert_eq!(machine.tables(), pages);
        drop(rest.unwrap());
    }
}

#[test]
fn generations_rise_and_skip_zero() {
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
        let section = NoPreemption::new();
        let entries = table.entries(section.rcu());
        let entry = entries.entry(handle).unwrap();
        assert_eq!(entry.location(), Some(location()));
        entry.try_lock(handle.generation()).unwrap();
        chain.push_retired(entries, handle, entry);
        assert_eq!(entry.try_lock(handle.generation()), Err(Refused::Free));
    }
    // The generations start again.
    assert_eq!(drain(&table, &chain)[0], first.unwrap());
}

#[test]
fn no_number_locks_a_free_entry() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, 512).unwrap();
    // The next handles of free entries, and numbers that differ in one or two bits.
    let section = NoPreemption::new();
    let entries = table.entries(section.rcu());
    let next: Vec<_> = std::iter::from_fn(|| chain.pop(entries)).collect();
    for &(handle, entry) in &next {
        chain.push(handle, entry);
    }
    let bits = (0..u64::BITS).map(|bit| 1 << bit);
    let flips: Vec<u64> = bits
        .clone()
        .chain(bits.map(|bit| bit | 1 << 63))
        .chain([0])
        .collect();
    let numbers = next
        .iter()
        .flat_map(|(handle, _)| flips.iter().map(|flip| handle.into_raw() as u64 ^ flip));
    let mut tried = 0;
    for raw in numbers {
        let handle = Handle::from_raw(raw as usize);
        if let Some(entry) = entries.entry(handle) {
            tried += 1;
            let before = entry.link();
            assert!(before.is_some());
            assert!(entry.try_lock(handle.generation()).is_err(), "{raw:#x}");
            assert!(
                entry.try_read_lock_plain(handle.generation()).is_err(),
                "{raw:#x}"
            );
            assert_eq!(entry.link(), before);
        }
    }
    assert!(tried > 512, "only {tried} numbers name an entry");
}

#[test]
fn an_entry_without_unused_generations_waits() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = table.reserve(3, Gfp::KERNEL).unwrap();
    // The chain reuses an entry until it has had all generations. So no handle comes twice until
    // all entries of the chain have.
    let mut seen = HashSet::new();
    let mut last = None;
    let mut changes = 0;
    for n in 0..3 * ((1 << GENERATION_BITS) - 1) {
        let section = NoPreemption::new();
        let entries = table.entries(section.rcu());
        let (handle, entry) = chain.pop(entries).unwrap();
        entry.record_obj(location(), handle.generation());
        assert!(seen.insert(handle), "{handle:?} came twice, after {n}");
        let index = handle.in_object();
        changes += usize::from(last.replace(index).is_some_and(|last| last != index));
        entry.try_lock(handle.generation()).unwrap();
        chain.push_retired(entries, handle, entry);
        assert_eq!(chain.len(), 3);
    }
    assert_eq!(changes, 2, "each is used until it has had all generations");
    let distinct: HashSet<Handle> = drain(&table, &chain).into_iter().collect();
    assert_eq!(distinct.len(), 3, "the chain lost an entry");
}

#[test]
fn a_flipped_bit_is_no_handle() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, 512).unwrap();
    let handle = drain(&table, &chain)[7];
    let section = NoPreemption::new();
    for bit in 0..u64::BITS {
        let other = Handle::from_raw(handle.into_raw() ^ 1 << bit);
        let locked = table
            .entries(section.rcu())
            .entry(other)
            .map(|entry| entry.try_lock(other.generation()));
        match bit {
            // The index of another entry, with the same generation.
            3..12 => assert_eq!(locked, Some(Ok(location())), "bit {bit}"),
            0..48 | 62.. => assert_eq!(locked, None, "bit {bit}"),
            _ => assert_eq!(locked, Some(Err(Refused::Stale)), "bit {bit}"),
        }
    }
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
        .chain(handles.keys().copied())
        .chain((0..10_000).map(|_| random.next_u64() as usize));
    let section = NoPreemption::new();
    let entries = table.entries(section.rcu());
    for raw in numbers {
        // No panic, and no access outside the table, which has one leaf. Only numbers of its
        // entries find one.
        let entry = entries.entry(Handle::from_raw(raw));
        if handles.contains_key(&raw) {
            assert!(entry.is_some());
        }
        if let Some(entry) = entry {
            assert!(entry.location().is_some() || entry.link().is_some());
        }
    }
    assert!(entries.entry(Handle::from_raw(MAX_HANDLES << 3)).is_none());
    assert!(entries.entry(Handle::from_raw(usize::MAX)).is_none());
}

#[test]
fn without_memory_nothing_is_taken() {
    let machine = boot(Config::default());
    let table = table();
    // Either a middle node or a leaf cannot be allocated.
    for fail in 0..2 {
        machine.fail_nth(fail, &[Point::Table]);
        assert_eq!(table.reserve(10, Gfp::KERNEL).err(), Some(ENOMEM));
        assert!(!machine.fail_none(), "no allocation failed");
    }
    // The first leaf exists, the second cannot be allocated.
    let chain = reserve(&table, 500).unwrap();
    machine.fail_nth(0, &[Point::Table]);
    let part = reserve(&table, 12).unwrap();
    assert_eq!(table.reserve(1, Gfp::KERNEL).err(), Some(ENOMEM));
    let _ = table.give_back(part);
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
    // More than one middle node has: 512 leaves of 512 entries.
    let count = 512 * 512 + 1000;
    let chain = reserve(&table, count).unwrap();
    let handles = drain(&table, &chain);
    assert_eq!(handles.iter().collect::<HashSet<_>>().len(), count);
    assert_eq!(table.pages(), 512 + 2 + 2);
    assert_eq!(machine.tables(), table.pages());
    let section = NoPreemption::new();
    let entries = table.entries(section.rcu());
    for handle in handles.iter().step_by(997) {
        assert_eq!(entries.entry(*handle).unwrap().location(), Some(location()));
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
                    let more = table.reserve(random.below(30), Gfp::KERNEL).unwrap();
                    mine.append(entries!(table), more);
                    let _ = table.give_back(mine.split(entries!(table), random.below(25)));
                }
                all.lock().unwrap().extend(drain(table, &mine));
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert!(all.len() > 100, "only {} handles were taken", all.len());
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

// A trimmed leaf stays valid for readers that found an entry of it.
#[test]
fn a_reader_keeps_what_it_found() {
    let machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, 2000).unwrap();
    let handle = drain(&table, &chain)[0].into_raw() & !0x7fff_ffff;
    // In the last leaf.
    let handle = Handle::from_raw(handle | 1999 << 3);
    let all = {
        let section = NoPreemption::new();
        let entries = table.entries(section.rcu());
        let all = FreeHandles::new();
        for index in 0..2000 {
            let entry = entries.entry_of(index).unwrap();
            let handle = Handle::from_raw(handle.into_raw() & !0x7fff_ffff | (index as usize) << 3);
            entry.try_lock(handle.generation()).unwrap();
            all.push_retired(entries, handle, entry);
        }
        all
    };
    assert!(table.give_back(all), "an entry is in use");
    on_cpu(1, || {
        let section = NoPreemption::new();
        let entry = table.entries(section.rcu()).entry(handle).unwrap();
        let link = entry.link();
        assert!(link.is_some());
        on_cpu(0, || table.trim());
        assert_eq!(entry.link(), link, "the entry changed under the reader");
        assert!(table.entries(section.rcu()).entry(handle).is_none());
    });
    assert_eq!((table.pages(), machine.tables()), (2, 2));
    table.trim();
    assert_eq!(table.pages(), 2);
    // The table grows again, with other generations.
    let chain = reserve(&table, 2000).unwrap();
    let again = drain(&table, &chain);
    assert_eq!(again.iter().collect::<HashSet<_>>().len(), 2000);
    assert!(!again.contains(&handle));
    assert_eq!(table.pages(), 5);
}

// zram allocates with preemption off, so a table that grows must free nothing that takes a grace
// period. That includes the leaves that a running trim has not reached.
#[test]
fn the_table_grows_without_preemption_during_a_trim() {
    const LEAVES: usize = 20;
    let machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, LEAVES * 512).unwrap();
    let used = drain(&table, &chain);
    refill(&table, &chain, &used);
    assert!(table.give_back(chain), "an entry is in use");
    let (mine, mut grown) = (FreeHandles::new(), 0);
    let mut hook = || {
        on_cpu(1, || {
            let section = NoPreemption::new();
            let taken = mine.len();
            while mine.len() < taken + 300 {
                let more = table.reserve(taken + 300 - mine.len(), Gfp::NOWAIT);
                mine.append(table.entries(section.rcu()), more.unwrap());
            }
            grown += 1;
        });
    };
    with_hook(&mut hook, || table.trim());
    println!("# {grown} times, {} entries", mine.len());
    assert!(mine.len() > 4 * 512, "{} entries", mine.len());
    assert_eq!(table.pages(), mine.len().div_ceil(512) + 1);
    assert_eq!(machine.tables(), table.pages());
    let again: HashSet<_> = drain(&table, &mine).into_iter().collect();
    assert_eq!(again.len(), grown * 300);
    assert!(used.iter().all(|handle| !again.contains(handle)));
}

#[test]
fn an_entry_in_use_keeps_the_table() {
    let _machine = boot(Config::default());
    let table = table();
    let chain = reserve(&table, 2000).unwrap();
    let one = chain.split(entries!(table), 1);
    assert!(!table.give_back(chain), "one entry is in use");
    table.trim();
    assert_eq!(table.pages(), 5, "the table was trimmed");
    assert!(table.give_back(one));
    table.trim();
    assert_eq!(table.pages(), 2);
}
