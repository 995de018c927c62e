# SPDX-License-Identifier: GPL-2.0
#
# In the tree that scripts/rust-runtime makes: the kernel's own Makefile, and a target
# that goes to rust/ as its "prepare" does. M=rust would not do: since 6.13 a module is
# built in its own folder, where the paths of rust/Makefile lead nowhere.
include $(ZS_MAKEFILE)

PHONY += zs-rust
zs-rust:
	$(Q)$(MAKE) $(build)=rust src=rust $(ZS_TARGETS)
