// SPDX-License-Identifier: GPL-2.0

//! The stock of pages that each CPU has: `helpers/page_stock.c`, and
//! [`super::page::ZsPage::from_stock`].

use super::prelude::Result;
use crate::bindings;

/// The stocks, as long as it exists.
pub struct PageStocks(());

impl PageStocks {
    /// Follows CPU hotplug. May sleep. There must be no other.
    pub fn new() -> Result<Self> {
        // SAFETY: Called once, when the module is loaded.
        kernel::error::to_result(unsafe { bindings::zs_helper_page_stocks_init() })?;
        Ok(Self(()))
    }
}

/// Gives back what is in stock, after the parameter `page_stock` has become zero. May sleep.
pub fn drain() {
    // SAFETY: Does nothing where there are no stocks.
    unsafe { bindings::zs_helper_page_stocks_drain() };
}

/// Pages in stock, of all CPUs: an estimate. Any context.
pub fn count() -> usize {
    // SAFETY: Reads counters, if there are any; the caller is part of the module, which is loaded.
    unsafe { bindings::zs_helper_page_stocks_count() as usize }
}

impl Drop for PageStocks {
    fn drop(&mut self) {
        // SAFETY: `new` began them.
        unsafe { bindings::zs_helper_page_stocks_exit() };
    }
}
