/* tasks [N=100000] [threads|processes] [T=4] [one|all]: T threads or processes, besides
 * the main task, which sleeps. One of them makes N openat calls of a path that does not
 * exist while the others sleep in read(2), or all make N/T each, at once. ns is from
 * before the first call to behind the last; where all work, the wake of each task and
 * its way to sleep again are in it: two ends of a read(2) per task. */
#include "bt.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 1000

/* Shared by all tasks, also by processes. */
static struct shared {
	atomic_uint at_work;
	_Atomic uint64_t end;
} *shared;
static uint64_t calls;
/* Written to by a task that is ready, and by the last that is done. */
static int tell[2];
/* Closed by the main task when work begins, and when all is over. */
static int begin[2], over[2];

static void die(const char *what)
{
	perror(what);
	_exit(1);
}

/* Sleeps until the other end is closed. */
static void wait_for_end(const int *gate)
{
	char byte;
	while (read(gate[0], &byte, 1) < 0)
		if (errno != EINTR)
			die("read");
}

static void take_byte(void)
{
	char byte;
	if (read(tell[0], &byte, 1) != 1)
		die("read");
}

static void task(int works)
{
	if (write(tell[1], "", 1) != 1)
		die("write");
	if (works) {
		wait_for_end(begin);
		for (uint64_t i = 0; i < calls; i++) {
			int fd = open("/nonexistent/directory/with/a/long/path/file.txt",
				      O_RDONLY | O_CLOEXEC);
			if (fd >= 0 || errno != ENOENT) {
				fprintf(stderr, "tasks: expected ENOENT\n");
				_exit(1);
			}
		}
		if (atomic_fetch_sub(&shared->at_work, 1) == 1) {
			atomic_store(&shared->end, bt_now());
			if (write(tell[1], "", 1) != 1)
				die("write");
		}
	}
	wait_for_end(over);
}

static void *thread(void *works)
{
	task(works != NULL);
	return NULL;
}

static pid_t start_process(int works)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		close(begin[1]);
		close(over[1]);
		task(works);
		_exit(0);
	}
	return pid;
}

int main(int argc, char **argv)
{
	uint64_t n = bt_count(argc, argv, 100000);
	int processes = argc > 2 && !strcmp(argv[2], "processes");
	unsigned t = argc > 3 ? (unsigned)atoi(argv[3]) : 4;
	static pthread_t threads[MOST];
	static pid_t pids[MOST];
	pthread_attr_t small;
	int one = !(argc > 4 && !strcmp(argv[4], "all"));
	if (t < 1 || t > MOST || (!one && n % t))
		return 2;
	calls = one ? n : n / t;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED || pipe(tell) || pipe(begin) || pipe(over))
		die("mmap or pipe");
	atomic_store(&shared->at_work, one ? 1 : t);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (unsigned i = 0; i < t; i++) {
		int works = !one || i == t - 1;
		if (processes)
			pids[i] = start_process(works);
		else if (pthread_create(&threads[i], &small, thread, works ? "" : NULL))
			die("pthread_create");
	}
	for (unsigned i = 0; i < t; i++)
		take_byte();
	/* Until the last one sleeps, too. */
	usleep(20000 + t * 200);
	uint64_t t0 = bt_now();
	close(begin[1]);
	take_byte();
	uint64_t ns = atomic_load(&shared->end) - t0;
	close(over[1]);
	for (unsigned i = 0; i < t; i++) {
		int status = 0;
		if (processes) {
			if (waitpid(pids[i], &status, 0) != pids[i] || status) {
				fprintf(stderr, "tasks: a process failed\n");
				return 1;
			}
		} else if (pthread_join(threads[i], NULL)) {
			die("pthread_join");
		}
	}
	bt_report("tasks", n, ns);
	return 0;
}
