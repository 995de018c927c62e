// SPDX-License-Identifier: GPL-2.0

//! zsmalloc, the allocator for compressed memory, in Rust.
//!
//! Start reading at [`engine::pool`]. `Documentation/design.rst` describes the design.

use kernel::prelude::*;

mod bindings;
pub mod engine;
pub mod ffi;
pub mod sys;

use engine::zspage::Zspage;
use sys::{cpu_area::CpuAreas, slab::SlabCache};

// What authors are called depends on the kernel.
macro_rules! module_by {
    ($($author:tt)*) => {
        module! {
            type: ZsmallocModule,
            name: "zsmalloc_rs",
            $($author)*,
            description: "Allocator for compressed memory",
            license: "GPL",
            alias: ["zpool-zsmalloc_rs"],
        }
    };
}
#[cfg(not(zs_have_pin_init))]
module_by!(author: "The zsmalloc-rs developers");
#[cfg(zs_have_pin_init)]
module_by!(authors: ["The zsmalloc-rs developers"]);

// Fields are dropped in order. Unregistering the zpool driver comes first: no new pools. The slab
// cache comes last: pools use it.
struct ZsmallocModule {
    _zpool: ffi::ZpoolDriver,
    _directories: ffi::Directories,
    _areas: CpuAreas,
    _cache: SlabCache<Zspage>,
}

impl kernel::Module for ZsmallocModule {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        // SAFETY: Called once per module. Only pools have boxes. The module is unloaded after all
        // pools are gone: zpool holds a reference to it, and other users depend on its symbols.
        let cache = unsafe { SlabCache::new() }?;
        // SAFETY: Called once per module. Only objects in pools are mapped. The module is unloaded
        // after all pools are gone: see `cache`.
        let areas = unsafe { CpuAreas::new() }?;
        let directories = ffi::Directories::new();
        Ok(Self {
            _zpool: ffi::ZpoolDriver::register(),
            _directories: directories,
            _areas: areas,
            _cache: cache,
        })
    }
}
