// SPDX-License-Identifier: GPL-2.0

//! A migration is not finished while somebody else may have the old page.

use zsmalloc_host::sys::page::Migration;

pub fn finish(migration: Migration) {
    migration.finish(); //~ E0133
}
