/* functions [N=200000] [I=0]: N calls of the function many_I, one of the 10,000
 * exported functions many_0 to many_9999, 16 bytes apart. The final check catches a
 * tracer that breaks the function. */
#include "bt.h"

#define FUNCTIONS 10000
#define APART 16

__asm__(".text\n"
	".altmacro\n"
	".macro one number\n"
	"\t.globl many_\\number\n\t.type many_\\number,@function\n\t.p2align 4\n"
	"many_\\number:\n\tpush %rbp\n\tmov %rsp,%rbp\n\tlea (%rdi,%rsi),%rax\n\tpop %rbp\n\tret\n"
	"\t.size many_\\number,.-many_\\number\n"
	".endm\n"
	".set number, 0\n"
	".rept 10000\n"
	"\tone %number\n"
	"\t.set number, number + 1\n"
	".endr\n"
	".noaltmacro\n");

extern uint64_t many_0(uint64_t, uint64_t);
extern uint64_t many_9999(uint64_t, uint64_t);

int main(int argc, char **argv)
{
	uint64_t n = bt_count(argc, argv, 200000), sum = 0;
	unsigned long which = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	uintptr_t first = (uintptr_t)many_0, last = (uintptr_t)many_9999;
	if (which >= FUNCTIONS || last - first != (FUNCTIONS - 1) * APART)
		return 2;
	uint64_t (*volatile fn)(uint64_t, uint64_t) =
		(uint64_t (*)(uint64_t, uint64_t))(first + which * APART);
	uint64_t t0 = bt_now();
	for (uint64_t i = 0; i < n; i++)
		sum = fn(sum, i);
	uint64_t t1 = bt_now();
	if (sum != (n ? n * (n - 1) / 2 : 0)) {
		fprintf(stderr, "functions: wrong result\n");
		return 1;
	}
	bt_report("functions", n, t1 - t0);
	return 0;
}
