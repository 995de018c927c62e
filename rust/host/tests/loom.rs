// SPDX-License-Identifier: GPL-2.0

//! All interleavings, and all that the memory model allows, of a few threads: the word protocol
//! (`engine/word.rs`) by itself, and pools of a handful of objects.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release --test loom
//! ```
//!
//! Only the atomics that the protocols are made of are explored (`sys/atomic.rs`); of the bytes of
//! pages, those words that a model names (`sys/watch.rs`). A model ends when there is nothing left
//! to explore; `Bound(n)` leaves out what takes more than `n` preemptions.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

use zsmalloc_host::engine::word::{FreeLink, ObjWord, Place, Refused};
use zsmalloc_host::sys::atomic::AtomicU64;

#[derive(Clone, Copy)]
enum Extent {
    Exhaustive,
    Bound(usize),
}
use Extent::{Bound, Exhaustive};

fn explore(extent: Extent, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = match extent {
        Exhaustive => None,
        Bound(bound) => Some(bound),
    };
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = runs.clone();
    let start = std::time::Instant::now();
    builder.check(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    println!(
        "{} executions in {:?}",
        runs.load(std::sync::atomic::Ordering::Relaxed),
        start.elapsed()
    );
}

fn place(n: usize) -> Place {
    Place::new(n, 0, 0, false, false)
}

const LINK: FreeLink = FreeLink {
    next: 0,
    generation: 1,
};

/// One word, and what is at the places that it may name.
struct Object {
    word: AtomicU64,
    bytes: [UnsafeCell<u64>; 2],
    // The class lock, as far as the protocol needs it.
    class: Mutex<()>,
}

impl Object {
    // Live, at place 0, and `7` there.
    fn new() -> Arc<Self> {
        let object = Self {
            word: AtomicU64::new(0),
            bytes: [UnsafeCell::new(7), UnsafeCell::new(0)],
            class: Mutex::new(()),
        };
        object.word().publish(place(0));
        Arc::new(object)
    }

    fn word(&self) -> ObjWord<'_> {
        ObjWord::new(&self.word)
    }

    fn get(&self, place: Place) -> u64 {
        // SAFETY: `loom` checks that nobody writes.
        self.bytes[place.pfn()].with(|bytes| unsafe { *bytes })
    }

    fn set(&self, place: Place, value: u64) {
        // SAFETY: `loom` checks that nobody else is there.
        self.bytes[place.pfn()].with_mut(|bytes| unsafe { *bytes = value });
    }

    // `map` to read. What was there, if the object was.
    fn read(&self) -> Option<u64> {
        let place = self.word().lock().ok()?;
        let value = self.get(place);
        assert_eq!(self.word().unlock_in_place(), place);
        Some(value)
    }

    // `map` to write. What was there, if the object was.
    fn write(&self, value: u64) -> Option<u64> {
        let place = self.word().lock().ok()?;
        let before = self.get(place);
        self.set(place, value);
        assert_eq!(self.word().unlock_in_place(), place);
        Some(before)
    }

    // Compaction, or migration: tries once. The old place is somebody else's afterwards.
    fn relocate(&self) -> bool {
        let _class = self.class.lock().unwrap();
        let Some(before) = self.word().place() else {
            return false;
        };
        let Ok(from) = self.word().try_lock() else {
            return false;
        };
        assert_eq!(
            before, from,
            "a place changes only with the class lock held"
        );
        let to = place(1 - from.pfn());
        self.set(to, self.get(from));
        self.word().unlock(to);
        self.set(from, 666);
        true
    }

    // `free`: tries once. The place is somebody else's afterwards.
    fn free(&self) -> Result<(), Refused> {
        let _class = self.class.lock().unwrap();
        let place = self.word().place().ok_or(Refused::Free)?;
        self.word().retire(place, LINK)?;
        self.set(place, 666);
        Ok(())
    }
}

// Two that map and a mover: whoever has the object finds it whole, nobody writes to what is read.
#[test]
fn word_two_mappings_and_a_mover() {
    explore(Bound(2), || {
        let object = Object::new();
        let reader = {
            let object = object.clone();
            thread::spawn(move || object.read())
        };
        let writer = {
            let object = object.clone();
            thread::spawn(move || object.write(8))
        };
        object.relocate();
        assert!(matches!(reader.join().unwrap(), Some(7 | 8)));
        assert_eq!(writer.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(8));
        // Nobody is left who could keep it from moving.
        assert!(object.relocate());
    });
}

// Two writers: a lock is a lock, and one sees what the other wrote, wherever it is by then.
#[test]
fn word_two_writers_and_a_mover() {
    explore(Bound(2), || {
        let object = Object::new();
        let writers: Vec<_> = [8, 9]
            .map(|value| {
                let object = object.clone();
                thread::spawn(move || object.write(value))
            })
            .into();
        object.relocate();
        let before: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();
        let after = object.read();
        assert!(
            matches!(
                (&before[..], after),
                ([Some(7), Some(8)], Some(9)) | ([Some(9), Some(7)], Some(8))
            ),
            "{before:?} {after:?}"
        );
    });
}

// Two movers (compaction and migration): the class lock keeps them apart, and each finds the
// object where the other left it.
#[test]
fn word_two_movers_and_a_mapping() {
    explore(Bound(2), || {
        let object = Object::new();
        let mover = {
            let object = object.clone();
            thread::spawn(move || object.relocate())
        };
        let reader = {
            let object = object.clone();
            thread::spawn(move || object.read())
        };
        object.relocate();
        mover.join().unwrap();
        assert_eq!(reader.join().unwrap(), Some(7));
        assert_eq!(object.read(), Some(7));
    });
}

// `free` with somebody who should not be there any more, and a mover: either he is in time, and
// `free` is refused, or he finds nothing. Freed memory is never read.
#[test]
fn word_free_a_late_mapping_and_a_mover() {
    explore(Exhaustive, || {
        let object = Object::new();
        let reader = {
            let object = object.clone();
            thread::spawn(move || assert!(matches!(object.read(), None | Some(7))))
        };
        let mover = {
            let object = object.clone();
            thread::spawn(move || object.relocate())
        };
        let freed = object.free();
        assert!(matches!(freed, Ok(()) | Err(Refused::Busy)), "{freed:?}");
        reader.join().unwrap();
        mover.join().unwrap();
        if freed.is_err() {
            object.free().unwrap();
        }
        assert_eq!(object.free(), Err(Refused::Free));
        assert_eq!(object.read(), None);
    });
}

// The same object freed twice at once: one of them is refused.
#[test]
fn word_two_frees() {
    explore(Exhaustive, || {
        let object = Object::new();
        let other = {
            let object = object.clone();
            thread::spawn(move || object.free())
        };
        let results = [object.free(), other.join().unwrap()];
        assert!(results.contains(&Ok(())) && results.contains(&Err(Refused::Free)));
    });
}

// A word is freed and used again while somebody still uses the old handle: he gets the old
// object, nothing, or all of the new one, by whose head he sees that it is not his.
#[test]
fn word_reuse_and_stale_mappings() {
    explore(Bound(2), || {
        // What is at a place is its head as well: 7 of the old object, 8 of the new.
        let object = Object::new();
        let stale: Vec<_> = (0..2)
            .map(|_| {
                let object = object.clone();
                thread::spawn(move || {
                    let Ok(place) = object.word().lock() else {
                        return;
                    };
                    let expected = if place.pfn() == 0 { 7 } else { 8 };
                    assert_eq!(object.get(place), expected);
                    object.word().unlock(place);
                })
            })
            .collect();
        if object.free().is_ok() {
            let _class = object.class.lock().unwrap();
            object.set(place(1), 8);
            object.word().publish(place(1));
        }
        stale.into_iter().for_each(|stale| stale.join().unwrap());
    });
}

// Free words change hands between classes while somebody tries a handle that was freed: he is
// refused, and does not disturb the chain.
#[test]
fn word_relink_and_a_stale_mapping() {
    explore(Exhaustive, || {
        let object = Object::new();
        object.free().unwrap();
        let stale = {
            let object = object.clone();
            thread::spawn(move || assert_eq!(object.word().lock(), Err(Refused::Free)))
        };
        let link = FreeLink {
            next: 5,
            generation: 2,
        };
        object.word().relink(link);
        assert_eq!(object.word().link(), Some(link));
        stale.join().unwrap();
        assert_eq!(object.word().link(), Some(link));
    });
}
