// SPDX-License-Identifier: GPL-2.0

//! A new zspage is freed when it is dropped, so it gets no page.

use zsmalloc_host::engine::class::ClassGuard;
use zsmalloc_host::engine::isolated::NewZspage;
use zsmalloc_host::sys::page::OwnedPage;

pub fn grow(guard: &ClassGuard<'_>, zspage: &NewZspage<'_>, page: OwnedPage) {
    let _ = (guard, zspage);
    let _ = guard.add_page(zspage, page, 0); //~ E0308
}
