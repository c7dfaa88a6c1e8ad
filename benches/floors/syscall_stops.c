/* syscall_stops PROGRAM [ARG...]: the least that a tracer of every entry and
 * exit can do. Two PTRACE_SYSCALL stops per call, PTRACE_GET_SYSCALL_INFO at
 * both, one wait at a time, no table of tasks, no policy; follows new tasks.
 *
 * On stderr, once PROGRAM has ended:
 *
 *     counts entries=<N> exits=<N> signals=<N>
 *     call <number> <entries> <exits>            (one line per number seen)
 *
 * Counted from PROGRAM's execve on. The exit status is PROGRAM's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS 1024
#define EVENT_STOP 128 /* PTRACE_EVENT_STOP */

/* struct ptrace_syscall_info (linux/ptrace.h), whose name glibc took too. */
struct info {
	uint8_t op, pad[3];
	uint32_t arch;
	uint64_t ip, sp, payload[8];
};

static struct {
	uint64_t entries, exits;
} calls[CALLS];
static uint64_t entries, exits, signals;
/* The call that each task is in, for the number of an exit. */
static uint16_t inside[1 << 22];

static void die(const char *what)
{
	fprintf(stderr, "syscall_stops: %s: %s\n", what, strerror(errno));
	exit(125);
}

static pid_t start(char **argv)
{
	int go[2];
	char byte = 0;
	if (pipe(go))
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(go[1]);
		if (read(go[0], &byte, 1) != 1)
			_exit(125);
		close(go[0]);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(go[0]);
	if (ptrace(PTRACE_SEIZE, pid, 0,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE |
		   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL))
		die("PTRACE_SEIZE");
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		die("PTRACE_INTERRUPT");
	if (write(go[1], &byte, 1) != 1)
		die("write");
	close(go[1]);
	return pid;
}

static void on_syscall(pid_t tid)
{
	struct info info;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) < 0)
		return;
	unsigned slot = (unsigned)tid % (1 << 22);
	if (info.op == 1) {
		unsigned nr = info.payload[0] < CALLS ? (unsigned)info.payload[0] : CALLS - 1;
		/* What comes before the execve is ours. */
		if (!entries && nr != SYS_execve)
			return;
		inside[slot] = (uint16_t)nr;
		entries++;
		calls[nr].entries++;
	} else if (info.op == 2 && entries) {
		exits++;
		calls[inside[slot]].exits++;
	}
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: syscall_stops PROGRAM [ARG...]\n");
		return 2;
	}
	pid_t root = start(argv + 1);
	int status, result = 125;
	for (;;) {
		pid_t tid = wait4(-1, &status, __WALL | __WNOTHREAD, NULL);
		if (tid < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (!WIFSTOPPED(status)) {
			if (tid == root)
				result = WIFEXITED(status) ? WEXITSTATUS(status)
							   : 128 + WTERMSIG(status);
			continue;
		}
		long signal = 0;
		int event = status >> 16, number = WSTOPSIG(status);
		if (number == (SIGTRAP | 0x80)) {
			on_syscall(tid);
		} else if (event == 0) {
			signal = number;
			signals++;
		} else if (event == EVENT_STOP && number != SIGTRAP) {
			ptrace(PTRACE_LISTEN, tid, 0, 0);
			continue;
		}
		ptrace(PTRACE_SYSCALL, tid, 0, signal);
	}
	fprintf(stderr, "counts entries=%llu exits=%llu signals=%llu\n",
		(unsigned long long)entries, (unsigned long long)exits,
		(unsigned long long)signals);
	for (int nr = 0; nr < CALLS; nr++)
		if (calls[nr].entries || calls[nr].exits)
			fprintf(stderr, "call %d %llu %llu\n", nr,
				(unsigned long long)calls[nr].entries,
				(unsigned long long)calls[nr].exits);
	return result;
}
