// SPDX-License-Identifier: GPL-2.0
/*
 * All thunks in one unit, as in the kernel's rust/helpers/helpers.c: the
 * kernel's headers are parsed once, and the compiler sees all of it.
 */

#include "helpers.h"

#ifdef CONFIG_PREEMPT_RT
/* Who has an object mapped must not be preempted by who waits for it. */
#error "zsmalloc-rs does not support PREEMPT_RT"
#endif

#include "cpu_area.c"
#include "gfp.c"
#include "list.c"
#include "lockdep.c"
#include "page.c"
#include "report.c"
#include "sched.c"
#include "slab.c"
#include "spinlock.c"
#include "work.c"
