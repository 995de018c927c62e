// SPDX-License-Identifier: GPL-2.0
/*
 * All helpers in one translation unit, as in the kernel's
 * rust/helpers/helpers.c. The kernel's headers are parsed once.
 */

#include "helpers.h"

#ifdef CONFIG_PREEMPT_RT
/* A task that spins on an entry must not preempt the task that has it locked. */
#error "zsmalloc-rs does not support PREEMPT_RT"
#endif

#include "cpu_area.c"
#include "gfp.c"
#include "list.c"
#include "lockdep.c"
#include "page.c"
#include "report.c"
#include "scatterlist.c"
#include "sched.c"
#include "slab.c"
#include "spinlock.c"
#include "work.c"
