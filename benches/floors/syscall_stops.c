/* syscall_stops PROGRAM [ARG...]: the least that a tracer of every entry and
 * exit can do. Two PTRACE_SYSCALL stops per call, PTRACE_GET_SYSCALL_INFO at
 * both, no table of tasks, no policy.
 *
 * Counted from PROGRAM's execve on.
 */
#include "floor.h"

/* The call that each task is in, for the number of an exit. */
static uint16_t inside[1 << 22];

static int on_stop(pid_t tid, int status)
{
	struct info info;
	if (WSTOPSIG(status) != (SIGTRAP | 0x80))
		return 0;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) < 0)
		return 1;
	unsigned slot = (unsigned)tid % (1 << 22);
	if (info.op == 1) {
		unsigned nr = info.payload[0] < CALLS ? (unsigned)info.payload[0] : CALLS - 1;
		/* What comes before the execve is ours. */
		if (!entries && nr != SYS_execve)
			return 1;
		inside[slot] = (uint16_t)nr;
		entries++;
		calls[nr].entries++;
	} else if (info.op == 2 && entries) {
		exits++;
		calls[inside[slot]].exits++;
	}
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: syscall_stops PROGRAM [ARG...]\n");
		return 2;
	}
	name = "syscall_stops";
	pid_t root = start(argv + 1, PTRACE_O_TRACESYSGOOD, NULL);
	return trace(root, PTRACE_SYSCALL, on_stop);
}
