// SPDX-License-Identifier: GPL-2.0
/*
 * One system call, in which the Nth allocation fails.
 *
 *	zs_fault N write FILE TEXT	write(2)
 *	zs_fault N insmod FILE		finit_module(2)
 *	zs_fault N block DEVICE BLOCK	a direct write of a page of random bytes
 *
 * Prints "hit" if an allocation failed, or "miss" if the call made fewer than N, and
 * the errno of the call, 0 on success. Exits with 2 if it could not make the call.
 * debugfs selects the allocations that may fail, see Documentation/fault-injection/
 * in the kernel.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(2);
}

int main(int argc, char **argv)
{
	long page = sysconf(_SC_PAGESIZE);
	int nth_file, file, err;
	char text[16];
	ssize_t len;
	void *block;
	long ret;
	char op;

	/* insmod has no text. */
	if (argc != (argc > 2 && argv[2][0] == 'i' ? 4 : 5) ||
	    !strchr("wib", argv[2][0])) {
		fprintf(stderr, "usage: zs_fault N write|insmod|block FILE [TEXT|BLOCK]\n");
		return 2;
	}
	op = argv[2][0];
	/* Allocate everything before the first allocation may fail. */
	nth_file = open("/proc/self/fail-nth", O_RDWR);
	if (nth_file < 0)
		die("/proc/self/fail-nth");
	file = open(argv[3], op == 'w' ? O_WRONLY : op == 'i' ? O_RDONLY : O_WRONLY | O_DIRECT);
	if (file < 0)
		die(argv[3]);
	if (posix_memalign(&block, page, page) || getrandom(block, page, 0) != page)
		die("memory");

	if (pwrite(nth_file, argv[1], strlen(argv[1]), 0) < 0)
		die("fail-nth");
	switch (op) {
	case 'w':
		ret = write(file, argv[4], strlen(argv[4]));
		break;
	case 'i':
		ret = syscall(SYS_finit_module, file, "", 0);
		break;
	default:
		ret = pwrite(file, block, page, atol(argv[4]) * page);
	}
	err = ret < 0 ? errno : 0;

	/* The rest of N; the read itself may allocate. */
	len = pread(nth_file, text, sizeof(text) - 1, 0);
	if (len <= 0 || pwrite(nth_file, "0", 1, 0) < 0)
		die("fail-nth");
	text[len] = 0;
	printf("%s %d\n", atoi(text) ? "miss" : "hit", err);
	return 0;
}
