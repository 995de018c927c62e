// SPDX-License-Identifier: GPL-2.0

//! Size classes, compared with a straightforward implementation of their rules, and with the
//! classes of `mm/zsmalloc.c`.
#![cfg(not(loom))]

use zsmalloc_host::c_zsmalloc;
use zsmalloc_host::engine::geometry::{Geometry, HANDLE_SIZE, MAX_CHAIN_LIMIT, MIN_CHAIN_LIMIT};

const PAGE_SIZES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];

fn chains() -> impl Iterator<Item = usize> {
    MIN_CHAIN_LIMIT..=MAX_CHAIN_LIMIT
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Class {
    index: usize,
    size: usize,
    pages: usize,
    objs: usize,
}

/// The classes of a pool.
struct Model {
    page_size: usize,
    delta: usize,
    smallest: usize,
    // The class of each size index.
    size_class: Vec<Class>,
    huge_class_size: usize,
}

impl Model {
    fn chain(page_size: usize, longest: usize, size: usize) -> usize {
        let objs = |pages: usize| pages * page_size / size;
        // A zspage has a bit for each slot: as many as a page has of the smallest objects.
        let (most, zspage) = if page_size == 4096 {
            (128, 56)
        } else {
            (256, 72)
        };
        let fits = |&pages: &usize| pages == 1 || objs(pages) > pages && objs(pages) <= most;
        // Counts the zspage structure, too.
        let cost = |pages: usize| (pages * page_size + zspage) as f64 / objs(pages) as f64;
        let best = (1..=longest)
            .filter(fits)
            .map(cost)
            .fold(f64::MAX, f64::min);
        (1..=longest)
            .filter(fits)
            .find(|&pages| cost(pages) <= best + 1e-9)
            .unwrap()
    }

    fn new(page_size: usize, longest: usize) -> Self {
        let delta = page_size / if page_size == 4096 { 512 } else { 256 };
        let smallest = delta.max(32);
        let sizes = (page_size - smallest).div_ceil(delta) + 1;
        let mut size_class = Vec::new();
        let mut huge_class_size = 0;
        for index in (0..sizes).rev() {
            let size = (smallest + index * delta).min(page_size);
            let pages = Self::chain(page_size, longest, size);
            let objs = pages * page_size / size;
            if pages != 1 && objs != 1 && huge_class_size == 0 {
                huge_class_size = size - (HANDLE_SIZE - 1);
            }
            let class = match size_class.last() {
                Some(&prev @ Class { .. }) if (prev.pages, prev.objs) == (pages, objs) => prev,
                _ => Class {
                    index,
                    size,
                    pages,
                    objs,
                },
            };
            size_class.push(class);
        }
        size_class.reverse();
        Self {
            page_size,
            delta,
            smallest,
            size_class,
            huge_class_size,
        }
    }

    // Returns the class for a request, which needs room for the index.
    fn class_of(&self, request: usize) -> Class {
        let size = request + HANDLE_SIZE;
        let mut index = 0;
        if size > self.smallest {
            index = (size - self.smallest).div_ceil(self.delta);
        }
        self.size_class[index.min(self.size_class.len() - 1)]
    }

    fn classes(&self) -> Vec<Class> {
        let mut classes = self.size_class.clone();
        classes.dedup();
        classes
    }
}

// Returns the sizes to test: all, or a sample for large pages.
fn sizes(page_size: usize) -> impl Iterator<Item = usize> {
    (0..=page_size).step_by(page_size / 4096 * 2 - 1)
}

fn each(mut check: impl FnMut(&Model, &Geometry, &str)) {
    for page_size in PAGE_SIZES {
        for chain in chains() {
            check(
                &Model::new(page_size, chain),
                &Geometry::new(page_size, chain),
                &format!("pages of {page_size} bytes, chains of {chain}"),
            );
        }
    }
}

#[test]
fn classes_follow_the_rules() {
    each(|model, geometry, what| {
        let ours: Vec<Class> = geometry
            .classes()
            .map(|shape| Class {
                index: shape.index.into(),
                size: shape.size as usize,
                pages: shape.pages.into(),
                objs: shape.objs.into(),
            })
            .collect();
        assert_eq!(ours, model.classes(), "{what}");
    });
}

#[test]
fn every_size_gets_its_class() {
    each(|model, geometry, what| {
        for size in sizes(model.page_size) {
            assert_eq!(
                geometry.class_index(size),
                model.class_of(size).index,
                "{size} bytes, {what}"
            );
        }
    });
}

#[test]
fn every_size_fits_in_its_class() {
    each(|_, geometry, what| {
        let classes: std::collections::HashMap<usize, _> = geometry
            .classes()
            .map(|shape| (usize::from(shape.index), shape))
            .collect();
        let page_size = classes.values().map(|shape| shape.size).max().unwrap() as usize;
        for size in sizes(page_size).skip(1) {
            let index = geometry.class_index(size);
            let shape = classes
                .get(&index)
                .unwrap_or_else(|| panic!("{size} bytes: there is no class {index}, {what}"));
            let needed = if shape.is_huge() {
                size
            } else {
                size + HANDLE_SIZE
            };
            assert!(needed <= shape.size as usize, "{size} bytes, {what}");
        }
    });
}

#[test]
fn huge_size_is_the_first_that_is_huge() {
    each(|model, geometry, what| {
        assert_eq!(geometry.huge_size(), model.huge_class_size, "{what}");
        let huge = geometry.classes().last().unwrap();
        assert!(huge.is_huge());
        let first = (1..=model.page_size)
            .find(|&size| geometry.class_index(size) == usize::from(huge.index))
            .unwrap();
        assert_eq!(geometry.huge_size(), first, "{what}");
    });
}

#[test]
fn no_size_takes_more_than_in_c() {
    // Compares the bytes of page per object. With large pages C has as many classes, at other sizes.
    // Then all sizes together take as much: what is gained there is the longer chain.
    for page_size in PAGE_SIZES {
        for chain in chains() {
            let geometry = Geometry::new(page_size, chain);
            let classes: std::collections::HashMap<usize, _> = geometry
                .classes()
                .map(|shape| (usize::from(shape.index), shape))
                .collect();
            let shapes = c_zsmalloc::shapes(page_size, chain);
            let (mut ours, mut of_c) = (0.0, 0.0);
            for size in (120..=page_size).step_by(page_size / 4096 * 7) {
                let shape = classes[&geometry.class_index(size)];
                let mine = f64::from(shape.pages) / f64::from(shape.objs) * page_size as f64;
                let c = shapes[c_zsmalloc::size_index(page_size, size)];
                let its = (c.pages * page_size / c.objs) as f64;
                assert!(
                    page_size != 4096 || mine <= its * 1.01,
                    "{size} bytes: {mine}, in C {its}"
                );
                ours += mine;
                of_c += its;
            }
            let most = if page_size == 4096 {
                of_c
            } else {
                of_c * 1.001
            };
            assert!(ours < most, "{ours} and {of_c}");
        }
    }
}

// What was measured was measured with these.
#[test]
fn pages_of_4_kib_keep_their_classes() {
    // FNV-1a of all classes with every chain length.
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for chain in chains() {
        for shape in Geometry::new(4096, chain).classes() {
            let of = [
                shape.index.into(),
                shape.size,
                shape.pages.into(),
                shape.objs.into(),
            ];
            for byte in of.into_iter().flat_map(|n| u64::from(n).to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    assert_eq!(hash, 0xf375_5bec_e896_655d);
    assert_eq!(Geometry::new(4096, MAX_CHAIN_LIMIT).classes().count(), 301);
}

#[test]
fn large_pages_have_fewer_classes() {
    for page_size in [16 << 10, 64 << 10] {
        assert_eq!(
            Geometry::new(page_size, MAX_CHAIN_LIMIT).classes().count(),
            193
        );
    }
}

#[test]
fn one_class_is_huge() {
    for chain in chains() {
        let geometry = Geometry::new(4096, chain);
        let (huge, shared): (Vec<_>, Vec<_>) =
            geometry.classes().partition(|shape| shape.is_huge());
        assert!(shared.iter().all(|shape| shape.objs > 1));
        // The class of whole pages.
        assert_eq!((huge.len(), huge[0].size), (1, 4096));
        assert_eq!(huge[0].index, 508);
    }
}

#[test]
fn lookup_counts_the_handle() {
    let geometry = Geometry::new(4096, 8);
    // 28 bytes and the index are 32, the smallest class. One more byte needs the next class.
    assert_eq!(geometry.class_index(28), 0);
    assert_eq!(geometry.class_index(29), 1);
    assert_eq!(geometry.class_index(36), 1);
    assert_eq!(geometry.class_index(37), 2);
}

#[test]
fn limits_are_clamped() {
    let classes = |limit| Geometry::new(4096, limit).classes().collect::<Vec<_>>();
    assert_eq!(classes(0), classes(4));
    assert_eq!(classes(3), classes(4));
    assert_eq!(classes(17), classes(16));
    assert_eq!(classes(usize::MAX), classes(16));
}

#[test]
fn any_request_is_answered() {
    for page_size in PAGE_SIZES {
        let geometry = Geometry::new(page_size, 8);
        let largest = geometry.class_index(page_size);
        for size in [page_size + 1, 2 * page_size, usize::MAX - 8, usize::MAX] {
            assert_eq!(geometry.class_index(size), largest);
        }
    }
}
