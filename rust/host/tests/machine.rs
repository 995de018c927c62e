// SPDX-License-Identifier: GPL-2.0

//! Each check of the fake machine, made to fail. A check that cannot fail is useless.
#![cfg(not(loom))]

use core::mem::offset_of;

use zsmalloc_host::engine::class::SizeClass;
use zsmalloc_host::engine::handle_entry::MAX_READERS;
use zsmalloc_host::engine::handle_table::Handle;
use zsmalloc_host::engine::map::MapMode;
use zsmalloc_host::engine::pool::Pool;
use zsmalloc_host::mapping::Map;
use zsmalloc_host::sys::atomic::limit_spins;
use zsmalloc_host::sys::cpu_area::{entries_locked, preempt_depth};
use zsmalloc_host::sys::list::{Linked, Links, List};
use zsmalloc_host::sys::lockdep;
use zsmalloc_host::sys::machine::{boot, Booted, Config, Placement, Point};
use zsmalloc_host::sys::mm::{self, IsolatedPage, LockedPage};
use zsmalloc_host::sys::prelude::*;
use zsmalloc_host::sys::raw_page::{RawPage, PAGE_SIZE};
use zsmalloc_host::sys::sched;
use zsmalloc_host::sys::slab::SlabBox;
use zsmalloc_host::sys::spinlock::{LockClass, SpinLock};

fn machine() -> Booted {
    boot(Config::default())
}

fn pool() -> PinBox<Pool> {
    pin_box(Pool::new(c"machine", 8)).unwrap()
}

struct Item {
    links: Links,
    _number: u32,
}

// SAFETY: The links are at this offset, and only the list uses them.
unsafe impl Linked for Item {
    const OFFSET: usize = offset_of!(Item, links);
}

fn item(number: u32) -> SlabBox<Item> {
    let item = Item {
        links: Links::new(),
        _number: number,
    };
    SlabBox::new(item, Gfp::KERNEL).unwrap()
}

fn list() -> PinBox<List<Item>> {
    pin_box(List::new()).unwrap()
}

// Creates a second owner of an item, which safe code cannot do.
fn double(item: SlabBox<Item>) -> [SlabBox<Item>; 2] {
    let raw = item.into_raw();
    // SAFETY: None. The checks have to find this.
    unsafe { [SlabBox::from_raw(raw), SlabBox::from_raw(raw)] }
}

#[test]
fn a_list_is_a_list() {
    let machine = machine();
    let list = list();
    assert!(list.is_empty() && list.front().is_none());
    for number in 0..3 {
        list.push(item(number), true);
        list.push(item(10 + number), false);
    }
    assert_eq!(list.audit(), 6);
    let numbers: Vec<u32> = std::iter::from_fn(|| {
        // SAFETY: The item is on the list.
        Some(unsafe { list.remove(list.front()?) }._number)
    })
    .collect();
    assert_eq!(numbers, [2, 1, 0, 10, 11, 12]);
    assert!(list.is_empty());
    assert_eq!((list.audit(), machine.slabs()), (0, 0));
}

#[test]
#[should_panic(expected = "list_add double add")]
fn adding_twice() {
    let _machine = machine();
    let list = list();
    let [a, b] = double(item(1));
    list.push(a, true);
    list.push(b, true);
}

#[test]
#[should_panic(expected = "list_add of an entry of a list")]
fn adding_twice_with_another_in_between() {
    let _machine = machine();
    let list = list();
    let [a, b] = double(item(1));
    list.push(a, true);
    list.push(item(2), true);
    list.push(b, true);
}

#[test]
#[should_panic(expected = "list_add of an entry of a list")]
fn adding_to_two_lists() {
    let _machine = machine();
    let (one, other) = (list(), list());
    let [a, b] = double(item(1));
    one.push(a, true);
    other.push(b, true);
}

#[test]
#[should_panic(expected = "list_del corruption")]
fn deleting_twice() {
    let _machine = machine();
    let list = list();
    list.push(item(1), true);
    // SAFETY: The item is on the list the first time. The checks have to find the second.
    unsafe {
        let item = list.remove(list.front().unwrap());
        std::mem::forget(list.remove(&item));
    }
}

#[test]
#[should_panic(expected = "list_del of an entry of another list")]
fn deleting_from_another_list() {
    let _machine = machine();
    let (one, other) = (list(), list());
    one.push(item(1), true);
    // SAFETY: None. The checks have to find this.
    std::mem::forget(unsafe { other.remove(one.front().unwrap()) });
}

#[test]
#[should_panic(expected = "use after free")]
fn a_page_that_was_freed() {
    let _machine = machine();
    let page = RawPage::alloc(Gfp::KERNEL).unwrap();
    // SAFETY: The test owns the page until `discard`. The checks have to find the read.
    unsafe {
        page.discard();
        page.read_u32(0);
    }
}

#[test]
#[should_panic(expected = "written to after it was freed")]
fn a_write_to_a_page_that_was_freed() {
    let _machine = machine();
    let pool = pool();
    let handle = pool.malloc(4096, Gfp::KERNEL).unwrap();
    let bytes = pool.map_object(handle, MapMode::WriteOnly).unwrap();
    // SAFETY: The bytes are not used until the checks have to find the write.
    unsafe {
        pool.unmap_object(handle);
        pool.free(handle).unwrap();
        bytes.as_ptr().add(100).write(1);
    }
}

#[test]
#[should_panic(expected = "freed while locked")]
fn a_page_that_is_freed_while_locked() {
    let _machine = machine();
    let page = RawPage::alloc(Gfp::KERNEL).unwrap();
    // SAFETY: The test owns the reference.
    unsafe { page.put() };
}

#[test]
#[should_panic(expected = "discards a movable page")]
fn a_page_that_is_discarded_while_movable() {
    let _machine = machine();
    let page = RawPage::alloc(Gfp::KERNEL).unwrap();
    // SAFETY: The test owns the page, which is locked.
    unsafe {
        page.make_movable();
        page.discard();
    }
}

#[test]
#[should_panic(expected = "which is not locked")]
fn a_page_that_is_unlocked_twice() {
    let _machine = machine();
    let page = RawPage::alloc(Gfp::KERNEL).unwrap();
    // SAFETY: The test owns the page, which is locked the first time.
    unsafe {
        page.unlock();
        page.unlock();
    }
}

#[test]
#[should_panic(expected = "which this thread has locked")]
fn waiting_for_oneself() {
    let machine = machine();
    let pool = pool();
    let handle = pool.malloc(3000, Gfp::KERNEL).unwrap();
    let _locked = LockedPage::try_new(mm::movable_pages()[0]).unwrap();
    pool.free(handle).unwrap();
    std::mem::forget(pool);
    machine.run_work();
}

#[test]
#[should_panic(expected = "isolated twice")]
fn a_page_that_is_isolated_twice() {
    let _machine = machine();
    let pool = pool();
    pool.malloc(3000, Gfp::KERNEL).unwrap();
    let isolated = IsolatedPage::try_new(mm::movable_pages()[0]).unwrap();
    assert!(IsolatedPage::try_new(isolated.page()).is_none());
    std::mem::forget(pool);
    isolated.isolate_again();
}

#[test]
#[should_panic(expected = "sleeping function called from invalid context")]
fn sleeping_while_something_is_mapped() {
    let _machine = machine();
    let pool = pool();
    let handle = pool.malloc(3000, Gfp::KERNEL).unwrap();
    let _mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
    let _ = pool.malloc(100, Gfp::KERNEL);
}

#[test]
#[should_panic(expected = "sleeping function called from invalid context")]
fn sleeping_with_a_lock() {
    let _machine = machine();
    let (pool, _) = live_entry();
    let _guard = class(&pool).lock();
    sched::cond_resched();
}

#[test]
#[should_panic(expected = "possible deadlock")]
fn taking_two_locks() {
    let _machine = machine();
    let (pool, _) = live_entry();
    pool.malloc(1000, Gfp::KERNEL).unwrap();
    let mut classes = pool.classes();
    let _one = classes.next().unwrap().lock();
    let _other = classes.next().unwrap().lock();
}

fn lock(class: LockClass) -> PinBox<SpinLock<()>> {
    pin_box(SpinLock::new(class, ())).unwrap()
}

#[test]
#[should_panic(expected = "possible deadlock")]
fn trying_locks_in_the_wrong_order() {
    let _machine = machine();
    let (class, table) = (lock(LockClass::Outer), lock(LockClass::Inner));
    let _table = table.lock();
    let _class = class.try_lock();
}

#[test]
fn a_lock_can_be_tried_with_another_held() {
    let machine = machine();
    let (class, table) = (lock(LockClass::Outer), lock(LockClass::Inner));
    let guard = class.lock();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = machine.enter();
            assert!(class.try_lock().is_none());
            assert!(table.try_lock().is_some());
            assert_eq!(preempt_depth(), 0);
        });
    });
    drop(table.try_lock().unwrap());
    drop(guard);
    assert_eq!(preempt_depth(), 0);
    assert!(class.try_lock().is_some());
}

// Returns a pool with an object, so its entry can be locked.
fn live_entry() -> (PinBox<Pool>, Handle) {
    let pool = pool();
    let handle = pool.malloc(100, Gfp::KERNEL).unwrap();
    (pool, handle)
}

// Returns the class of that object.
fn class(pool: &Pool) -> &SizeClass {
    pool.class(pool.lookup_class_index(100)).unwrap()
}

#[test]
#[should_panic(expected = "waits for an entry with a Some(Outer) lock held")]
fn waiting_for_an_entry_with_a_lock_held() {
    let _machine = machine();
    let (pool, handle) = live_entry();
    let _class = class(&pool).lock();
    let _ = pool.map(handle, MapMode::ReadOnly);
}

#[test]
#[should_panic(expected = "bad unlock balance")]
fn unlocking_an_entry_twice() {
    let _machine = machine();
    lockdep::entry_acquired();
    lockdep::entry_released();
    lockdep::entry_released();
}

// Every path that locks an entry exclusively also tells lockdep of the unlock.
#[test]
fn no_entry_stays_locked() {
    let _machine = machine();
    let (pool, handle) = live_entry();
    lockdep::entry_acquired();
    assert_eq!(entries_locked(), 1);
    lockdep::entry_released();
    // Nobody waits for a reader.
    let mapping = pool.map(handle, MapMode::ReadOnly).unwrap();
    assert_eq!(entries_locked(), 0);
    drop(mapping);
    assert_eq!(entries_locked(), 0);
    let others: Vec<Handle> = (0..400)
        .map(|_| pool.malloc(1000, Gfp::KERNEL).unwrap())
        .collect();
    for page in mm::movable_pages() {
        mm::migrate(page).unwrap().unwrap();
        assert_eq!(entries_locked(), 0, "after a migration");
    }
    for (i, &handle) in others.iter().enumerate() {
        if i % 3 != 0 {
            pool.free(handle).unwrap();
            assert_eq!(entries_locked(), 0, "after a free");
        }
    }
    assert!(pool.compact().objects > 0);
    assert_eq!(entries_locked(), 0, "after a compaction");
    for &handle in others.iter().step_by(3) {
        pool.free(handle).unwrap();
    }
    pool.free(handle).unwrap();
    assert_eq!(entries_locked(), 0);
}

#[test]
#[should_panic(expected = "possible deadlock")]
fn taking_a_lock_twice() {
    let _machine = machine();
    let (pool, _) = live_entry();
    let class = class(&pool);
    let _one = class.lock();
    let _other = class.lock();
}

#[test]
#[should_panic(expected = "endless wait")]
fn waiting_forever() {
    let _machine = machine();
    let pool = pool();
    let handle = pool.malloc(100, Gfp::KERNEL).unwrap();
    for _ in 0..MAX_READERS {
        pool.obj_read_begin(handle, 100, None).unwrap();
    }
    limit_spins(1000);
    zsmalloc_host::sys::cpu_area::on_cpu(1, || pool.map(handle, MapMode::ReadOnly).is_some());
}

#[test]
#[should_panic(expected = "write past the end of a mapping")]
fn writing_past_the_buffer_of_a_cpu() {
    let _machine = machine();
    let pool = pool();
    // The second object spans pages that are not contiguous, so it is bounced.
    let handles: Vec<Handle> = (0..2)
        .map(|_| pool.malloc(3000, Gfp::KERNEL).unwrap())
        .collect();
    let bytes = pool.map_object(handles[1], MapMode::ReadWrite).unwrap();
    // SAFETY: This writes to the canary of the buffer. The checks have to find that.
    unsafe {
        bytes.as_ptr().add(PAGE_SIZE).write(1);
        pool.unmap_object(handles[1]);
    }
}

#[test]
#[should_panic(expected = "red zone overwritten")]
fn writing_past_metadata() {
    let _machine = machine();
    let item = item(1);
    let end = std::ptr::from_ref::<Item>(&item).cast_mut().wrapping_add(1);
    // SAFETY: This writes to the red zone. The checks have to find that.
    unsafe { end.cast::<u8>().write(1) };
    drop(item);
}

#[test]
#[should_panic(expected = "metadata was written to after it was freed")]
fn writing_to_metadata_that_was_freed() {
    let machine = machine();
    let item = item(1);
    let stale = std::ptr::from_ref::<Item>(&item).cast_mut();
    drop(item);
    // SAFETY: The memory is kept for a while after it was freed. The checks have to find the write.
    unsafe { stale.cast::<u8>().write(1) };
    let shared = machine.share();
    drop(machine);
    drop(shared);
}

#[test]
#[should_panic(expected = "metadata from high or movable memory")]
fn metadata_that_can_be_moved() {
    let machine = machine();
    machine.allocate_metadata(Gfp::ZRAM);
}

#[test]
#[should_panic(expected = "pages are still zsmalloc's")]
fn a_page_that_is_lost() {
    let machine = machine();
    RawPage::alloc(Gfp::KERNEL).unwrap();
    drop(machine);
}

#[test]
#[should_panic(expected = "zspages were not freed")]
fn a_zspage_that_is_lost() {
    let machine = machine();
    std::mem::forget(item(1));
    drop(machine);
}

#[test]
#[should_panic(expected = "handle tables were not freed")]
fn a_table_that_is_lost() {
    let machine = machine();
    let pool = pool();
    let handle = pool.malloc(3000, Gfp::KERNEL).unwrap();
    pool.free(handle).unwrap();
    std::mem::forget(pool);
    drop(machine);
}

#[test]
#[should_panic(expected = "reports that no test expected")]
fn an_unexpected_report() {
    let machine = machine();
    let pool = pool();
    let handle = pool.malloc(3000, Gfp::KERNEL).unwrap();
    pool.free(handle).unwrap();
    pool.free(handle).unwrap_err();
    drop(pool);
    drop(machine);
}

#[test]
#[should_panic(expected = "this thread is on no machine")]
fn a_thread_without_a_machine() {
    let _ = RawPage::alloc(Gfp::KERNEL);
}

#[test]
fn the_chosen_allocation_fails() {
    let machine = machine();
    for pass in 0..3 {
        machine.fail_nth(pass, &[Point::Page]);
        for n in 0..5 {
            // Other kinds of allocations do not count.
            drop(item(n));
            let page = RawPage::alloc(Gfp::KERNEL);
            assert_eq!(page.is_none(), n as usize == pass);
            if let Some(page) = page {
                // SAFETY: The test owns the page, which is locked.
                unsafe { page.discard() };
            }
        }
        assert!(!machine.fail_none());
    }
    assert_eq!(
        (machine.faults(), machine.allocations(Point::Page)),
        (3, 15)
    );
    machine.fail_nth(0, &[Point::Table]);
    drop(item(0));
    assert!(machine.fail_none(), "the failure is still pending");
}

#[test]
fn placement_is_as_configured() {
    let neighbours = |placement| {
        let _machine = boot(Config {
            placement,
            ..Config::default()
        });
        let pages: Vec<RawPage> = (0..100)
            .map(|_| RawPage::alloc(Gfp::KERNEL).unwrap())
            .collect();
        let count = pages
            .windows(2)
            .filter(|pair| pair[1].pfn() == pair[0].pfn() + 1)
            .count();
        for page in pages {
            // SAFETY: The test owns the page, which is locked.
            unsafe { page.discard() };
        }
        count
    };
    assert_eq!(neighbours(Placement::Packed), 99);
    assert!(neighbours(Placement::Scattered) < 5);
}

#[test]
fn the_hook_runs_when_rescheduling() {
    let _machine = machine();
    assert!(!sched::need_resched());
    let mut turns = 0;
    sched::with_hook(&mut || turns += 1, || {
        assert!(sched::need_resched());
        sched::cond_resched();
        sched::cond_resched();
    });
    assert!(!sched::need_resched());
    assert_eq!(turns, 2);
}
