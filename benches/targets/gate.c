/* gate [N=200000]: as getppid, between two waits: for a line on stdin before the loop,
 * and after the report for another one, or the end of input. What a tracer has used by
 * then can be read while nothing happens. Prints "gate" before the first wait. */
#include "bt.h"
#include <sys/syscall.h>
#include <unistd.h>

static int line(void)
{
	char c;
	ssize_t got;
	while ((got = read(0, &c, 1)) == 1 && c != '\n')
		;
	return got == 1;
}

int main(int argc, char **argv)
{
	uint64_t n = bt_count(argc, argv, 200000);
	puts("gate");
	fflush(stdout);
	if (!line())
		return 1;
	uint64_t t0 = bt_now();
	for (uint64_t i = 0; i < n; i++)
		syscall(SYS_getppid);
	bt_report("gate", n, bt_now() - t0);
	line();
	return 0;
}
