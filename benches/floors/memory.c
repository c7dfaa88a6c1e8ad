/* memory HOW LEN PIECES TIMES PROGRAM: what reading the memory of a stopped process costs
 * without anybody in between. Reads PIECES pieces of LEN bytes, APART bytes apart, TIMES
 * times from the buffer that PROGRAM (targets/membuf.c) announces. HOW is vectors, one
 * process_vm_readv(2) for all pieces, or file, a pread(2) of /proc/PID/mem for each.
 *
 * On stderr: "bytes <how many were right>" and "nanoseconds <in all>".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define APART (1 << 13)
#define MOST_PIECES 256
#define SIZE (4 << 20)

static unsigned char to[SIZE];

static void die(const char *what)
{
	fprintf(stderr, "memory: %s: %s\n", what, strerror(errno));
	exit(125);
}

static uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: memory vectors|file LEN PIECES TIMES PROGRAM\n");
		return 2;
	}
	int vectors = strcmp(argv[1], "vectors") == 0;
	size_t len = strtoul(argv[2], NULL, 0), pieces = strtoul(argv[3], NULL, 0);
	long times = strtol(argv[4], NULL, 0);
	if (pieces < 1 || pieces > MOST_PIECES || len * pieces > SIZE ||
	    (pieces - 1) * APART + len > SIZE) {
		errno = E2BIG;
		die("too much");
	}

	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		die("pipe");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[5], argv + 5);
		die(argv[5]);
	}
	close(out[1]);
	FILE *said = fdopen(out[0], "r");
	void *from;
	if (!said || fscanf(said, "membuf addr=%p", &from) != 1)
		die("its buffer");
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
		die("ptrace");
	int status;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		die("wait");
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		die(path);

	struct iovec local[MOST_PIECES], remote[MOST_PIECES];
	for (size_t i = 0; i < pieces; i++) {
		local[i] = (struct iovec){ to + i * len, len };
		remote[i] = (struct iovec){ (char *)from + i * APART, len };
	}
	uint64_t start = now();
	for (long n = 0; n < times; n++) {
		if (vectors) {
			if (process_vm_readv(pid, local, pieces, remote, pieces, 0) !=
			    (ssize_t)(len * pieces))
				die("process_vm_readv");
			continue;
		}
		for (size_t i = 0; i < pieces; i++)
			if (pread(mem, local[i].iov_base, len, (off_t)(uintptr_t)remote[i].iov_base) !=
			    (ssize_t)len)
				die("pread");
	}
	uint64_t nanoseconds = now() - start;

	size_t right = 0;
	for (size_t i = 0; i < pieces; i++)
		for (size_t k = 0; k < len; k++)
			right += to[i * len + k] == (unsigned char)((i * APART + k) * 31 + 7);
	fprintf(stderr, "bytes %zu\nnanoseconds %llu\n", right, (unsigned long long)nanoseconds);

	if (ptrace(PTRACE_DETACH, pid, 0, 0))
		die("detach");
	close(in[1]);
	if (waitpid(pid, &status, 0) != pid)
		die("wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
}
