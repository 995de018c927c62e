// SPDX-License-Identifier: GPL-2.0

//! zsmalloc, the allocator for compressed memory, in Rust.
//!
//! Start reading at [`engine::pool`]. `Documentation/design.rst` has the whole picture.

use kernel::prelude::*;

mod bindings;
pub mod engine;
pub mod ffi;
pub mod sys;

use sys::{cpu_area::CpuAreas, slab::ZspageCache};

module! {
    type: ZsmallocModule,
    name: "zsmalloc_rs",
    author: "The zsmalloc-rs developers",
    description: "Allocator for compressed memory",
    license: "GPL",
    alias: ["zpool-zsmalloc_rs"],
}

// Dropped from top to bottom: first nobody can make a pool, last the memory of pools goes.
struct ZsmallocModule {
    _zpool: ffi::ZpoolDriver,
    _debugfs: ffi::DebugfsRoot,
    _areas: CpuAreas,
    _cache: ZspageCache,
}

impl kernel::Module for ZsmallocModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: A module is initialised once. Zspages are in pools, each of which keeps the module
        // loaded until it is destroyed; the cache is dropped when the module is unloaded.
        let cache = unsafe { ZspageCache::new() }?;
        // SAFETY: A module is initialised once. An object that is mapped is in a pool, which keeps
        // the module loaded.
        let areas = unsafe { CpuAreas::new() }?;
        let debugfs = ffi::DebugfsRoot::new();
        Ok(Self {
            _zpool: ffi::ZpoolDriver::register(),
            _debugfs: debugfs,
            _areas: areas,
            _cache: cache,
        })
    }
}
