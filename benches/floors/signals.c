/* signals [-i] PROGRAM [ARG...]: the least that a tracer of signals can do. One stop
 * per signal, PTRACE_CONT with that signal, no table of tasks, no policy. With -i
 * PTRACE_GETSIGINFO at each, for what sent it.
 */
#include "floor.h"

static int informed;

static int on_stop(pid_t tid, int status)
{
	siginfo_t info;
	if (informed && status >> 16 == 0)
		ptrace(PTRACE_GETSIGINFO, tid, 0, &info);
	return 0;
}

int main(int argc, char **argv)
{
	informed = argc > 1 && !strcmp(argv[1], "-i");
	if (argc < 2 + informed) {
		fprintf(stderr, "usage: signals [-i] PROGRAM [ARG...]\n");
		return 2;
	}
	name = "signals";
	pid_t root = start(argv + 1 + informed, 0, NULL);
	return trace(root, PTRACE_CONT, on_stop);
}
