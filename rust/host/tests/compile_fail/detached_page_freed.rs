// SPDX-License-Identifier: GPL-2.0

//! A page that left its zspage is not freed while it may still be named.

use zsmalloc_host::sys::page::DetachedPage;

pub fn free(page: DetachedPage) {
    let page = page.into_owned(); //~ E0133
    drop(page);
}
