// SPDX-License-Identifier: GPL-2.0

//! Initialisers for arrays, and for values that need another first. `rust/host` shares this file.

use super::prelude::*;

/// Initialises an array in place, element by element. If `make` fails, drops the elements made so
/// far and returns its error.
pub fn try_array_from_fn<T, const N: usize>(
    mut make: impl FnMut(usize) -> Result<T>,
) -> impl PinInit<[T; N], Error> {
    let init = move |slot: *mut [T; N]| {
        let slot = slot.cast::<T>();
        for i in 0..N {
            match make(i) {
                // SAFETY: `i` is below `N`, and the array is valid for writes.
                Ok(element) => unsafe { slot.add(i).write(element) },
                Err(error) => {
                    // SAFETY: The first `i` elements were written above.
                    unsafe { core::ptr::slice_from_raw_parts_mut(slot, i).drop_in_place() };
                    return Err(error);
                }
            }
        }
        Ok(())
    };
    // SAFETY: On success all elements were written. On failure those written are dropped.
    unsafe { pin_init_from_closure(init) }
}

/// Calls `make` and initialises the value with the result. If either fails, so does this.
pub fn try_init_with<T, I: PinInit<T, Error>>(
    make: impl FnOnce() -> Result<I>,
) -> impl PinInit<T, Error> {
    // SAFETY: The initialiser that `make` returned initialises `slot` or fails.
    unsafe { pin_init_from_closure(move |slot| make()?.__pinned_init(slot)) }
}
