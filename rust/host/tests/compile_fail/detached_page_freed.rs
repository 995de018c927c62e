// SPDX-License-Identifier: GPL-2.0

//! A detached page is not freed while references to it may exist.

use zsmalloc_host::sys::page::DetachedPage;

pub fn free(page: DetachedPage) {
    let page = page.into_owned(); //~ E0133
    drop(page);
}
