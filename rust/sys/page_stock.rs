// SPDX-License-Identifier: GPL-2.0

//! The stock of pages that each CPU has: `helpers/page_stock.c`, and
//! [`super::page::ZsPage::from_stock`].

use super::prelude::Result;
use crate::bindings;

/// The stocks, as long as it exists. Before and after nothing is in them.
pub struct PageStocks(());

impl PageStocks {
    /// Begins them, and follows CPU hotplug; `EBUSY` if they have begun. May sleep.
    pub fn new() -> Result<Self> {
        // SAFETY: May be called at any time.
        kernel::error::to_result(unsafe { bindings::zs_helper_page_stocks_init() })?;
        Ok(Self(()))
    }
}

/// Gives back what is in stock, after the parameter `page_stock` has become zero. May sleep.
pub fn drain() {
    // SAFETY: May be called at any time.
    unsafe { bindings::zs_helper_page_stocks_drain() };
}

/// Pages in stock, of all CPUs: an estimate. Any context.
pub fn count() -> usize {
    // SAFETY: Reads counters, which are always there.
    unsafe { bindings::zs_helper_page_stocks_count() as usize }
}

impl Drop for PageStocks {
    fn drop(&mut self) {
        // SAFETY: `new` began them.
        unsafe { bindings::zs_helper_page_stocks_exit() };
    }
}
