/* entries NUMBER PROGRAM [ARG...]: the least that a tracer of one call's entries can
 * do. A filter in the kernel that stops that call and no other, one stop per call,
 * PTRACE_GET_SYSCALL_INFO there, PTRACE_CONT, no table of tasks, no policy.
 */
#include "floor.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#define EVENT_SECCOMP 7 /* PTRACE_EVENT_SECCOMP, which glibc has as an enum */

static unsigned wanted;

/* In PROGRAM's process. */
static void filter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	if (geteuid() && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(125);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(125);
}

static int on_stop(pid_t tid, int status)
{
	struct info info;
	if (status >> 16 != EVENT_SECCOMP)
		return 0;
	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) < 0 || info.op != 3)
		return 1;
	calls[info.payload[0] < CALLS ? info.payload[0] : CALLS - 1].entries++;
	entries++;
	return 1;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: entries NUMBER PROGRAM [ARG...]\n");
		return 2;
	}
	name = "entries";
	wanted = (unsigned)strtoul(argv[1], NULL, 0);
	pid_t root = start(argv + 2, PTRACE_O_TRACESECCOMP, filter);
	return trace(root, PTRACE_CONT, on_stop);
}
