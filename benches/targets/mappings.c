/* mappings [N=100000] [M=10] [getppid|openat|call]: N system calls, of which openat has
 * a path to read, or N calls of a function with a known symbol, while there are M
 * mappings more than usual. One operation more comes first and is timed apart, for what
 * a tracer does once: "first_ns". */
#include "bt.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ul

__asm__(".text\n"
	".globl hot_frame\n.type hot_frame,@function\n.p2align 4\n"
	"hot_frame:\n\tpush %rbp\n\tmov %rsp,%rbp\n\tlea (%rdi,%rsi),%rax\n\tpop %rbp\n\tret\n"
	".size hot_frame,.-hot_frame\n");

extern uint64_t hot_frame(uint64_t, uint64_t);

/* Neighbours differ in protection, so that the kernel keeps them apart. */
static int make(uint64_t mappings)
{
	char *all = mmap(NULL, (mappings + 1) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return -1;
	for (uint64_t i = 1; i < mappings; i += 2)
		if (mprotect(all + i * PAGE, PAGE, PROT_READ))
			return -1;
	return 0;
}

static int operate(const char *what, uint64_t n)
{
	uint64_t (*volatile fn)(uint64_t, uint64_t) = hot_frame;
	for (uint64_t i = 0; i < n; i++) {
		if (*what == 'g')
			syscall(SYS_getppid);
		else if (*what == 'c' && fn(i, 1) != i + 1)
			return -1;
		else if (*what == 'o' &&
			 (open("/nonexistent/directory/with/a/long/path/file.txt",
			       O_RDONLY | O_CLOEXEC) >= 0 || errno != ENOENT))
			return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t n = bt_count(argc, argv, 100000);
	uint64_t mappings = argc > 2 ? strtoull(argv[2], NULL, 0) : 10;
	const char *what = argc > 3 ? argv[3] : "getppid";
	if (make(mappings)) {
		perror("mappings");
		return 1;
	}
	uint64_t t0 = bt_now();
	int failed = operate(what, 1);
	uint64_t t1 = bt_now();
	failed |= operate(what, n);
	uint64_t t2 = bt_now();
	if (failed) {
		fprintf(stderr, "mappings: wrong result\n");
		return 1;
	}
	printf("first_ns=%llu ", (unsigned long long)(t1 - t0));
	bt_report("mappings", n, t2 - t1);
	return 0;
}
