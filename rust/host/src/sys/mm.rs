// SPDX-License-Identifier: GPL-2.0

//! What the rest of the kernel does with pages of zspages: it locks and migrates them. Only the
//! host has this.
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

/// Returns the movable pages.
pub fn movable_pages() -> Vec<RawPage> {
    machine::current().memory().movable()
}

/// A page that another part of the kernel has locked.
pub struct LockedPage(RawPage);

impl LockedPage {
    /// Locks a page, unless it is locked or free.
    pub fn try_new(page: RawPage) -> Option<Self> {
        if !page.try_get() {
            return None;
        }
        if !page.lock_frame() {
            // SAFETY: This is the reference taken above.
            unsafe { page.put() };
            return None;
        }
        Some(Self(page))
    }

    /// Waits for the page lock. The caller must have a reference.
    fn wait(page: RawPage) -> Self {
        might_sleep("lock_page()");
        while !page.lock_frame() {
            spin_loop();
        }
        check!(page.try_get(), "BUG: locks {page:?}, which is free");
        Self(page)
    }

    /// Returns the page.
    pub fn page(&self) -> RawPage {
        self.0
    }
}

impl Drop for LockedPage {
    fn drop(&mut self) {
        // SAFETY: `try_new` or `wait` locked the page and took a reference.
        unsafe {
            self.0.unlock();
            self.0.put();
        }
    }
}

/// A page that is isolated for migration. Dropping it puts it back.
pub struct IsolatedPage(RawPage);

/// The result of a migration that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// The page was migrated to this one.
    To(RawPage),
    /// The page was freed after it had been isolated, so there was nothing to migrate.
    Released,
}

impl IsolatedPage {
    /// Isolates a page, if it is movable and not isolated.
    pub fn try_new(page: RawPage) -> Option<Self> {
        if !page.is_movable() {
            return None;
        }
        let locked = LockedPage::try_new(page)?;
        if !page.is_movable() || page.is_isolated() {
            return None;
        }
        // The kernel calls `isolate_page` here, which always agrees (`helpers/page.c`).
        page.set_isolated(true);
        check!(page.try_get(), "BUG: isolates {page:?}, which is free");
        drop(locked);
        Some(Self(page))
    }

    /// Returns the page.
    pub fn page(&self) -> RawPage {
        self.0
    }

    /// Isolates the page a second time, to test the check.
    pub fn isolate_again(&self) {
        self.0.set_isolated(true);
    }

    /// Migrates the page to a new one.
    pub fn migrate(self) -> Result<Migrated> {
        might_sleep("migrate_pages()");
        let machine = machine::current();
        let old = self.0;
        let target = machine.memory().allocate().ok_or(ENOMEM)?;
        let result = {
            let _old = LockedPage::wait(old);
            let _target = LockedPage::wait(target);
            if old.is_movable() {
                // SAFETY: A movable page is in a zspage. The target is new. Both are locked.
                migrate_page(unsafe { Migration::new(target, old) }).map(|()| Migrated::To(target))
            } else {
                Ok(Migrated::Released)
            }
        };
        // SAFETY: This is the reference of the allocation.
        unsafe { target.put() };
        result
    }
}

impl Drop for IsolatedPage {
    fn drop(&mut self) {
        let locked = LockedPage::wait(self.0);
        self.0.set_isolated(false);
        drop(locked);
        // SAFETY: This is the reference that `try_new` took.
        unsafe { self.0.put() };
    }
}

/// Migrates a page if it is movable.
pub fn migrate(page: RawPage) -> Option<Result<Migrated>> {
    Some(IsolatedPage::try_new(page)?.migrate())
}

/// Returns whether the page is locked.
pub fn is_locked(page: RawPage) -> bool {
    page.is_locked()
}

/// A zspage as its pages describe it.
#[derive(Debug)]
pub struct Chain {
    /// The owner of all pages.
    pub owner: NonNull<()>,
    /// The pages, by position. Some may be absent.
    pub pages: BTreeMap<usize, RawPage>,
}

impl Chain {
    /// Copies bytes out of the zspage. Returns false if one of the pages is absent.
    pub fn read(&self, mut offset: usize, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let Some(page) = self.pages.get(&(offset / PAGE_SIZE)) else {
                return false;
            };
            let len = buffer.len().min(PAGE_SIZE - offset % PAGE_SIZE);
            let (now, rest) = buffer.split_at_mut(len);
            // SAFETY: `chains` found the page in a zspage. The range is inside the page and the
            // buffer.
            unsafe { page.read_bytes(offset % PAGE_SIZE, NonNull::from(now).cast(), len) };
            (offset, buffer) = (offset + len, rest);
        }
        true
    }

    /// Returns the handle that the first page of a huge zspage stores.
    pub fn huge_handle(&self) -> u32 {
        // SAFETY: `chains` found the page in a zspage.
        unsafe { self.pages[&0].huge_handle() }
    }
}

/// Returns all zspages, found by looking at every page. Nothing else may run.
pub fn chains() -> Vec<Chain> {
    let mut chains: BTreeMap<NonNull<()>, Chain> = BTreeMap::new();
    for page in movable_pages() {
        // SAFETY: Movable pages belong to zspages, and nothing else runs.
        let (owner, position) = unsafe { (page.owner().unwrap(), page.position() as usize) };
        let chain = chains.entry(owner).or_insert_with(|| Chain {
            owner,
            pages: BTreeMap::new(),
        });
        let other = chain.pages.insert(position, page);
        assert_eq!(other, None, "two pages at position {position} of a zspage");
    }
    for chain in chains.values() {
        let pages: Vec<RawPage> = chain.pages.values().copied().collect();
        for (page, successor) in pages.iter().zip(pages.iter().cycle().skip(1)) {
            // SAFETY: The page belongs to a zspage, and nothing else runs.
            let next = unsafe { page.next() };
            // The page of a huge zspage stores the handle instead of a link.
            assert!(
                next == Some(*successor) || pages.len() == 1 && next.is_none(),
                "a chain's links and positions differ"
            );
        }
    }
    chains.into_values().collect()
}
