// SPDX-License-Identifier: GPL-2.0

//! Detached pages are not freed while references to them may exist.

use zsmalloc_host::sys::page::DetachedPages;

pub fn free(mut pages: DetachedPages) {
    pages.free(); //~ E0133
}
