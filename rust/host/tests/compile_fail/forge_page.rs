// SPDX-License-Identifier: GPL-2.0

//! A page that is in no zspage comes from the kernel, or out of a zspage.

use zsmalloc_host::engine::owned_page::OwnedPage;
use zsmalloc_host::sys::page::ZsPage;

pub fn forge(page: ZsPage) {
    let is_movable = page.pfn() != 0;
    let _ = is_movable;
    drop::<OwnedPage>(OwnedPage { page, is_movable }); //~ E0451
}
