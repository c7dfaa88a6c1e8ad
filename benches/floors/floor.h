/* What the loops share that follow new tasks. On stderr, once PROGRAM has ended:
 *
 *     counts entries=<N> exits=<N> signals=<N>
 *     call <number> <entries> <exits>            (one line per number seen)
 *
 * The exit status is PROGRAM's.
 */
#ifndef FLOOR_H
#define FLOOR_H

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

static const char *name;
static struct {
	uint64_t entries, exits;
} calls[CALLS];
static uint64_t entries, exits, signals;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", name, what, strerror(errno));
	exit(125);
}

/* Starts PROGRAM under a tracer; it calls prepare before it is executed. */
static pid_t start(char **argv, long options, void (*prepare)(void))
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
		if (prepare)
			prepare();
		execvp(argv[0], argv);
		_exit(127);
	}
	close(go[0]);
	if (ptrace(PTRACE_SEIZE, pid, 0,
		   options | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE |
		   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL))
		die("PTRACE_SEIZE");
	if (ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		die("PTRACE_INTERRUPT");
	if (write(go[1], &byte, 1) != 1)
		die("write");
	close(go[1]);
	return pid;
}

static void report(void)
{
	fprintf(stderr, "counts entries=%llu exits=%llu signals=%llu\n",
		(unsigned long long)entries, (unsigned long long)exits,
		(unsigned long long)signals);
	for (int nr = 0; nr < CALLS; nr++)
		if (calls[nr].entries || calls[nr].exits)
			fprintf(stderr, "call %d %llu %llu\n", nr,
				(unsigned long long)calls[nr].entries,
				(unsigned long long)calls[nr].exits);
}

/* The loop: one wait at a time, each task goes on by `request`, and with its signal
 * unless `mine` says that the stop is one of what is traced. PROGRAM's exit status. */
static inline int trace(pid_t root, int request, int (*mine)(pid_t tid, int status))
{
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
		if (!mine(tid, status)) {
			if (event == 0) {
				signal = number;
				signals++;
			} else if (event == EVENT_STOP && number != SIGTRAP) {
				ptrace(PTRACE_LISTEN, tid, 0, 0);
				continue;
			}
		}
		ptrace(request, tid, 0, signal);
	}
	report();
	return result;
}

#endif
