/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In front of helpers.c where clang compiles it for a kernel that GCC built.
 * GCC writes the segment of a per-CPU operand into the text of an asm by its
 * named address space; clang leaves it out, and the CPU's area is missed.
 */
#undef CONFIG_CC_HAS_NAMED_AS
#undef CONFIG_USE_X86_SEG_SUPPORT
