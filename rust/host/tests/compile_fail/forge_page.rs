// SPDX-License-Identifier: GPL-2.0

//! An owned page comes from the page allocator.

use zsmalloc_host::sys::page::OwnedPage;
use zsmalloc_host::sys::raw_page::RawPage;

pub fn forge(raw: RawPage) {
    drop::<OwnedPage>(OwnedPage(raw)); //~ E0423
}
