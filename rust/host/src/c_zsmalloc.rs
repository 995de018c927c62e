// SPDX-License-Identifier: GPL-2.0

//! The memory that C zsmalloc takes: classes, zspages and compaction of `mm/zsmalloc.c` of Linux 6.12,
//! without locks and contents.
//!
//! Which slot of a zspage an object has makes no difference to that, and is not modelled.

use super::slab_cache::SlabCache;

/// Bytes of the handle before an object (`ZS_HANDLE_SIZE`), and of one in its slab cache.
pub const HANDLE_SIZE: usize = 8;
/// `sizeof(struct zspage)`, without lock debugging.
pub const ZSPAGE_SIZE: usize = 56;
/// `sizeof(struct size_class)` and `sizeof(struct zs_pool)`, as kmalloc rounds them up.
pub const CLASS_BYTES: usize = 512;
/// See [`CLASS_BYTES`].
pub const POOL_BYTES: usize = 4096;
/// The default of `CONFIG_ZSMALLOC_CHAIN_SIZE`.
pub const CHAIN_SIZE: usize = 8;

const MIN_ALLOC_SIZE: usize = 32;
const NR_GROUPS: usize = 12;
const FULL: usize = NR_GROUPS - 1;

/// The geometry of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes per object, with the handle.
    pub size: usize,
    /// Pages in a zspage.
    pub pages: usize,
    /// Objects in a zspage.
    pub objs: usize,
}

/// `calculate_zspage_chain_size()`.
pub fn chain_size(page_size: usize, longest: usize, size: usize) -> usize {
    if size.is_power_of_two() {
        return 1;
    }
    (1..=longest)
        .min_by_key(|pages| pages * page_size % size)
        .unwrap()
}

/// Returns the shape of each size index: `zs_create_pool()`.
pub fn shapes(page_size: usize, longest: usize) -> Vec<Shape> {
    let delta = page_size >> 8;
    let nr = (page_size - MIN_ALLOC_SIZE).div_ceil(delta) + 1;
    let mut shapes: Vec<Shape> = Vec::new();
    for index in (0..nr).rev() {
        let size = (MIN_ALLOC_SIZE + index * delta).min(page_size);
        let pages = chain_size(page_size, longest, size);
        let objs = pages * page_size / size;
        shapes.push(match shapes.last() {
            Some(&above) if (above.pages, above.objs) == (pages, objs) => above,
            _ => Shape { size, pages, objs },
        });
    }
    shapes.reverse();
    shapes
}

/// Returns the size index of a request: `get_size_class_index()`.
pub fn size_index(page_size: usize, request: usize) -> usize {
    let size = request + HANDLE_SIZE;
    let index = size.saturating_sub(MIN_ALLOC_SIZE).div_ceil(page_size >> 8);
    index.min((page_size - MIN_ALLOC_SIZE).div_ceil(page_size >> 8))
}

// `objects` has the handle of each object. A zspage without objects has been freed.
struct Zspage {
    class: usize,
    objects: Vec<usize>,
    group: usize,
    // Where it is in the list of its group.
    at: usize,
}

struct Class {
    shape: Shape,
    // Zspages of each fullness group. The last is the one that was put there last.
    groups: [Vec<usize>; NR_GROUPS],
    objs_allocated: usize,
    objs_inuse: usize,
}

/// A pool of C zsmalloc.
pub struct CPool {
    page_size: usize,
    classes: Vec<Class>,
    // By size index.
    class_of: Vec<usize>,
    zspages: Vec<Zspage>,
    // By handle: its zspage, and where it is in there.
    objects: Vec<(usize, usize)>,
    handle_cache: SlabCache,
    zspage_cache: SlabCache,
    pages: usize,
}

impl CPool {
    /// Creates a pool with zspages of at most `longest` pages.
    pub fn new(page_size: usize, longest: usize) -> Self {
        let mut classes: Vec<Class> = Vec::new();
        let mut class_of = Vec::new();
        for shape in shapes(page_size, longest) {
            if classes.last().is_none_or(|class| class.shape != shape) {
                classes.push(Class {
                    shape,
                    groups: Default::default(),
                    objs_allocated: 0,
                    objs_inuse: 0,
                });
            }
            class_of.push(classes.len() - 1);
        }
        Self {
            page_size,
            classes,
            class_of,
            zspages: Vec::new(),
            objects: Vec::new(),
            handle_cache: SlabCache::new(page_size, HANDLE_SIZE),
            zspage_cache: SlabCache::new(page_size, ZSPAGE_SIZE),
            pages: 0,
        }
    }

    /// Returns the number of pages in zspages.
    pub fn total_pages(&self) -> usize {
        self.pages
    }

    /// Returns the pages of the slab caches for handles and zspages.
    pub fn metadata_pages(&self) -> usize {
        self.handle_cache.pages() + self.zspage_cache.pages()
    }

    /// Returns the number of classes.
    pub fn classes(&self) -> usize {
        self.classes.len()
    }

    /// Allocates an object of `size` bytes and returns its handle: `zs_malloc()`.
    pub fn malloc(&mut self, size: usize) -> usize {
        let handle = self.objects.len();
        self.handle_cache.allocate(handle);
        self.objects.push((usize::MAX, 0));
        let class = self.class_of[size_index(self.page_size, size)];
        let of = &self.classes[class];
        // The first of the fullest group that is not full: `find_get_zspage()`.
        let found = of.groups[..FULL].iter().rev().find_map(|list| list.last());
        let zspage = match found {
            Some(&zspage) => {
                self.unlist(zspage);
                zspage
            }
            None => self.alloc_zspage(class),
        };
        self.obj_malloc(zspage, handle);
        self.classes[class].objs_inuse += 1;
        self.list(zspage);
        handle
    }

    /// Frees an object: `zs_free()`.
    pub fn free(&mut self, handle: usize) {
        let (zspage, _) = self.objects[handle];
        let class = self.zspages[zspage].class;
        let group = self.zspages[zspage].group;
        self.obj_free(handle);
        self.classes[class].objs_inuse -= 1;
        self.handle_cache.free(handle);
        // Only a zspage whose group changes goes to another list: `fix_fullness_group()`.
        if self.group(zspage) != group {
            self.unlist(zspage);
            self.putback(zspage);
        }
    }

    /// Compacts all classes: `zs_compact()`.
    pub fn compact(&mut self) {
        for class in (0..self.classes.len()).rev() {
            self.compact_class(class);
        }
    }

    // `zs_can_compact()`
    fn can_compact(&self, class: usize) -> bool {
        let of = &self.classes[class];
        of.objs_allocated - of.objs_inuse >= of.shape.objs
    }

    // `__zs_compact()`
    fn compact_class(&mut self, class: usize) {
        let mut kept = None;
        while self.can_compact(class) {
            let Some(destination) = kept.take().or_else(|| self.isolate(class, true)) else {
                break;
            };
            let Some(source) = self.isolate(class, false) else {
                kept = Some(destination);
                break;
            };
            // `migrate_zspage()`
            while !self.is_full(destination) {
                let Some(&handle) = self.zspages[source].objects.first() else {
                    break;
                };
                self.obj_free(handle);
                self.obj_malloc(destination, handle);
            }
            self.putback(source);
            if self.is_full(destination) {
                self.putback(destination);
            } else {
                kept = Some(destination);
            }
        }
        if let Some(destination) = kept {
            self.putback(destination);
        }
    }

    // `isolate_dst_zspage()` and `isolate_src_zspage()`
    fn isolate(&mut self, class: usize, fullest: bool) -> Option<usize> {
        let groups = &self.classes[class].groups[1..FULL];
        let zspage = if fullest {
            groups.iter().rev().find_map(|list| list.last())
        } else {
            groups.iter().find_map(|list| list.last())
        };
        let zspage = *zspage?;
        self.unlist(zspage);
        Some(zspage)
    }

    fn is_full(&self, zspage: usize) -> bool {
        let of = &self.zspages[zspage];
        of.objects.len() == self.classes[of.class].shape.objs
    }

    // `get_fullness_group()`
    fn group(&self, zspage: usize) -> usize {
        let of = &self.zspages[zspage];
        let objs = self.classes[of.class].shape.objs;
        match of.objects.len() {
            0 => 0,
            inuse if inuse == objs => FULL,
            inuse => 100 * inuse / objs / 10 + 1,
        }
    }

    // `insert_zspage()`
    fn list(&mut self, zspage: usize) {
        let group = self.group(zspage);
        let of = &mut self.zspages[zspage];
        let list = &mut self.classes[of.class].groups[group];
        (of.group, of.at) = (group, list.len());
        list.push(zspage);
    }

    // `remove_zspage()`, but the last of the list comes to its place.
    fn unlist(&mut self, zspage: usize) {
        let of = &self.zspages[zspage];
        let (class, group, at) = (of.class, of.group, of.at);
        let list = &mut self.classes[class].groups[group];
        assert_eq!(list.swap_remove(at), zspage);
        if let Some(&moved) = list.get(at) {
            self.zspages[moved].at = at;
        }
    }

    // Puts a zspage on the list of its group, or frees it.
    fn putback(&mut self, zspage: usize) {
        let of = &self.zspages[zspage];
        if !of.objects.is_empty() {
            return self.list(zspage);
        }
        let class = &mut self.classes[of.class];
        class.objs_allocated -= class.shape.objs;
        self.pages -= class.shape.pages;
        self.zspage_cache.free(zspage);
    }

    fn alloc_zspage(&mut self, class: usize) -> usize {
        let of = &mut self.classes[class];
        of.objs_allocated += of.shape.objs;
        self.pages += of.shape.pages;
        let zspage = self.zspages.len();
        self.zspage_cache.allocate(zspage);
        self.zspages.push(Zspage {
            class,
            objects: Vec::new(),
            group: 0,
            at: 0,
        });
        zspage
    }

    fn obj_malloc(&mut self, zspage: usize, handle: usize) {
        let objects = &mut self.zspages[zspage].objects;
        self.objects[handle] = (zspage, objects.len());
        objects.push(handle);
    }

    fn obj_free(&mut self, handle: usize) {
        let (zspage, at) = self.objects[handle];
        let objects = &mut self.zspages[zspage].objects;
        assert_eq!(objects.swap_remove(at), handle);
        if let Some(&moved) = objects.get(at) {
            self.objects[moved].1 = at;
        }
    }
}
