// SPDX-License-Identifier: GPL-2.0

//! What the rest of the kernel does with our pages: lock them, move them. Only the host has this.
//!
//! The steps are those of `mm/migrate.c` of Linux 6.12 for movable pages that are not on an LRU
//! list (`isolate_movable_page()`, `move_to_new_folio()`, `putback_movable_pages()`).

use core::ptr::NonNull;
use std::collections::BTreeMap;

use super::atomic::spin_loop;
use super::machine;
use super::page::{Migration, PAGE_SIZE};
use super::prelude::*;
use super::raw_page::RawPage;
use super::sched::might_sleep;
use crate::engine::migrate::migrate_page;

/// The pages that can be moved now.
pub fn movable_pages() -> Vec<RawPage> {
    machine::current().memory().movable()
}

/// A page that somebody in the kernel has locked, for whatever reason.
pub struct LockedPage(RawPage);

impl LockedPage {
    /// Locks a page, if nobody has it locked and it is in use.
    pub fn try_new(page: RawPage) -> Option<Self> {
        if !page.try_get() {
            return None;
        }
        if !page.lock_frame() {
            // SAFETY: The reference taken above.
            unsafe { page.put() };
            return None;
        }
        Some(Self(page))
    }

    /// Waits for the lock. The caller has a reference.
    fn wait(page: RawPage) -> Self {
        might_sleep("lock_page()");
        while !page.lock_frame() {
            spin_loop();
        }
        check!(page.try_get(), "BUG: locks {page:?}, which is free");
        Self(page)
    }

    /// The page.
    pub fn page(&self) -> RawPage {
        self.0
    }
}

impl Drop for LockedPage {
    fn drop(&mut self) {
        // SAFETY: Locked, and with a reference, by `try_new` or `wait`.
        unsafe {
            self.0.unlock();
            self.0.put();
        }
    }
}

/// A page that is about to be moved. It is put back when this goes.
pub struct IsolatedPage(RawPage);

/// What became of a migration that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// The page is now this one.
    To(RawPage),
    /// There was nothing to move: the page was freed after it had been isolated.
    Released,
}

impl IsolatedPage {
    /// Isolates a page, if it can be moved and nobody else is about to.
    pub fn try_new(page: RawPage) -> Option<Self> {
        if !page.is_movable() {
            return None;
        }
        let locked = LockedPage::try_new(page)?;
        if !page.is_movable() || page.is_isolated() {
            return None;
        }
        // Here the kernel asks `isolate_page`, which always agrees (`helpers/page.c`).
        page.set_isolated(true);
        check!(page.try_get(), "BUG: isolates {page:?}, which is free");
        drop(locked);
        Some(Self(page))
    }

    /// The page.
    pub fn page(&self) -> RawPage {
        self.0
    }

    /// What must not happen, for a test of the check.
    pub fn isolate_again(&self) {
        self.0.set_isolated(true);
    }

    /// Moves the page to one that is allocated for that.
    pub fn migrate(self) -> Result<Migrated> {
        might_sleep("migrate_pages()");
        let machine = machine::current();
        let old = self.0;
        let target = machine.memory().allocate().ok_or(ENOMEM)?;
        let result = {
            let _old = LockedPage::wait(old);
            let _target = LockedPage::wait(target);
            if old.is_movable() {
                // SAFETY: The page is movable, so it is a zspage's; the other is fresh. Both are
                // locked.
                migrate_page(unsafe { Migration::new(target, old) }).map(|()| Migrated::To(target))
            } else {
                Ok(Migrated::Released)
            }
        };
        // SAFETY: The reference of the allocation.
        unsafe { target.put() };
        result
    }
}

impl Drop for IsolatedPage {
    fn drop(&mut self) {
        let locked = LockedPage::wait(self.0);
        self.0.set_isolated(false);
        drop(locked);
        // SAFETY: The reference taken in `try_new`.
        unsafe { self.0.put() };
    }
}

/// Moves one page, if it can be moved.
pub fn migrate(page: RawPage) -> Option<Result<Migrated>> {
    Some(IsolatedPage::try_new(page)?.migrate())
}

/// Whether the page is locked.
pub fn is_locked(page: RawPage) -> bool {
    page.is_locked()
}

/// A zspage, as its pages tell it.
#[derive(Debug)]
pub struct Chain {
    /// The owner that all its pages name.
    pub owner: NonNull<()>,
    /// The pages, by position. Some may be absent.
    pub pages: BTreeMap<usize, RawPage>,
}

impl Chain {
    /// Copies bytes out of the zspage, whatever page they are in. False if one is absent.
    pub fn read(&self, mut offset: usize, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let Some(page) = self.pages.get(&(offset / PAGE_SIZE)) else {
                return false;
            };
            let len = buffer.len().min(PAGE_SIZE - offset % PAGE_SIZE);
            let (now, rest) = buffer.split_at_mut(len);
            // SAFETY: Ours, as `chains` looked; the range is inside the page and the buffer.
            unsafe { page.read_bytes(offset % PAGE_SIZE, NonNull::from(now).cast(), len) };
            (offset, buffer) = (offset + len, rest);
        }
        true
    }

    /// The handle in the first page, as a huge zspage has it.
    pub fn huge_handle(&self) -> u32 {
        // SAFETY: The page is ours, as `chains` looked.
        unsafe { self.pages[&0].huge_handle() }
    }
}

/// All zspages, found the way the kernel would: by looking at each page. Nothing else may run.
pub fn chains() -> Vec<Chain> {
    let mut chains: BTreeMap<NonNull<()>, Chain> = BTreeMap::new();
    for page in movable_pages() {
        // SAFETY: Movable pages are ours, and nothing else runs.
        let (owner, position) = unsafe { (page.owner().unwrap(), page.position() as usize) };
        let chain = chains.entry(owner).or_insert_with(|| Chain {
            owner,
            pages: BTreeMap::new(),
        });
        let twin = chain.pages.insert(position, page);
        assert_eq!(twin, None, "two pages at position {position} of a zspage");
    }
    for chain in chains.values() {
        let pages: Vec<RawPage> = chain.pages.values().copied().collect();
        for (page, behind) in pages.iter().zip(pages.iter().cycle().skip(1)) {
            // SAFETY: As above.
            let next = unsafe { page.next() };
            // The page of a huge zspage has no link.
            assert!(
                next == Some(*behind) || pages.len() == 1 && next.is_none(),
                "a chain's links and positions differ"
            );
        }
    }
    chains.into_values().collect()
}
