// SPDX-License-Identifier: GPL-2.0

//! Size classes, against the rules of `mm/zsmalloc.c` written down once more, the obvious way.
#![cfg(not(loom))]

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

/// `struct zs_pool`, as far as sizes go.
struct Model {
    page_size: usize,
    // By size index: the class.
    size_class: Vec<Class>,
    huge_class_size: usize,
}

impl Model {
    const MIN: usize = 32;

    // calculate_zspage_chain_size()
    fn chain_size(page_size: usize, longest: usize, size: usize) -> usize {
        if size.is_power_of_two() {
            return 1;
        }
        let mut min_waste = usize::MAX;
        let mut chain_size = 1;
        for pages in 1..=longest {
            let waste = pages * page_size % size;
            if waste < min_waste {
                min_waste = waste;
                chain_size = pages;
            }
        }
        chain_size
    }

    // zs_create_pool()
    fn new(page_size: usize, longest: usize) -> Self {
        let delta = page_size >> 8;
        let sizes = (page_size - Self::MIN).div_ceil(delta) + 1;
        let mut size_class = Vec::new();
        let mut huge_class_size = 0;
        for index in (0..sizes).rev() {
            let size = (Self::MIN + index * delta).min(page_size);
            let pages = Self::chain_size(page_size, longest, size);
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
            size_class,
            huge_class_size,
        }
    }

    // get_size_class_index(), of a request to which the handle was added
    fn class_of(&self, request: usize) -> Class {
        let size = request + HANDLE_SIZE;
        let mut index = 0;
        if size > Self::MIN {
            index = (size - Self::MIN).div_ceil(self.page_size >> 8);
        }
        self.size_class[index.min(self.size_class.len() - 1)]
    }

    fn classes(&self) -> Vec<Class> {
        let mut classes = self.size_class.clone();
        classes.dedup();
        classes
    }
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
fn classes_are_those_of_c() {
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
fn every_size_gets_the_class_of_c() {
    each(|model, geometry, what| {
        for size in 0..=model.page_size {
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
        for size in 1..=page_size {
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
fn huge_size_is_that_of_c() {
    each(|model, geometry, what| {
        assert_eq!(geometry.huge_size(), model.huge_class_size, "{what}");
        let is_huge = |size| {
            let index = geometry.class_index(size);
            let shape = geometry
                .classes()
                .find(|shape| usize::from(shape.index) == index);
            shape.is_some_and(|shape| shape.is_huge())
        };
        let first = (1..=model.page_size).find(|&size| is_huge(size)).unwrap();
        assert_eq!(geometry.huge_size(), first, "{what}");
    });
}

#[test]
fn numbers_known_of_c() {
    // Chain, classes with more than one object, largest of them (field.md, sections 1 and 6).
    for (chain, multi, largest) in [
        (4, 68, 3264),
        (8, 118, 3632),
        (10, 140, 3712),
        (16, 191, 3840),
    ] {
        let geometry = Geometry::new(4096, chain);
        let shared: Vec<_> = geometry
            .classes()
            .filter(|shape| !shape.is_huge())
            .collect();
        assert_eq!(shared.len(), multi, "chains of {chain}");
        assert!(shared.iter().all(|shape| shape.objs > 1));
        assert_eq!(shared.last().unwrap().size, largest, "chains of {chain}");
        // One huge class, of whole pages.
        let huge: Vec<_> = geometry.classes().filter(|shape| shape.is_huge()).collect();
        assert_eq!((huge.len(), huge[0].size), (1, 4096));
    }
}

#[test]
fn lookup_counts_the_handle() {
    let geometry = Geometry::new(4096, 8);
    // 24 bytes and the handle are 32, the smallest class; one more is the next.
    assert_eq!(geometry.class_index(24), 0);
    assert_eq!(geometry.class_index(25), 1);
    assert_eq!(geometry.class_index(40), 1);
    assert_eq!(geometry.class_index(41), 2);
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
