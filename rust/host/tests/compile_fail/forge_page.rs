// SPDX-License-Identifier: GPL-2.0

//! An owned page comes from the page allocator or from a zspage.

use zsmalloc_host::sys::page::OwnedPage;
use zsmalloc_host::sys::raw_page::RawPage;

pub fn forge(raw: RawPage) {
    let is_movable = raw.pfn() != 0;
    let _ = is_movable;
    drop::<OwnedPage>(OwnedPage { raw, is_movable }); //~ E0451
}
