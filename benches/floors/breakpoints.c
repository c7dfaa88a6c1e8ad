/* breakpoints FUNCTION PROGRAM [ARG...]: the least that a tracer of breakpoints can
 * do. An int3 at FUNCTION, one of those of targets/hotcall.c, that stays in memory; at
 * each hit PTRACE_GETREGS, the instruction pointer to a copy of the first instruction
 * that ends in a jump behind it (PTRACE_POKEUSER), and PTRACE_CONT. One task, no table
 * of anything, no policy.
 *
 * On stderr, once PROGRAM has ended:
 *
 *     hits <N>
 *
 * The exit status is PROGRAM's. It fails with 125 for any stop but a hit.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* How far below the program the copy is: its jump reaches 2 GiB. */
#define BELOW (16ul << 20)

static void die(const char *what)
{
	fprintf(stderr, "breakpoints: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void fail(const char *what)
{
	fprintf(stderr, "breakpoints: %s\n", what);
	exit(125);
}

/* The value of a symbol in the dynamic symbol table of a file. */
static uint64_t symbol(const char *path, const char *name)
{
	struct stat stat;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat))
		die(path);
	const char *file = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		die("mmap");
	close(fd);
	const Elf64_Ehdr *elf = (const void *)file;
	const Elf64_Shdr *section = (const void *)(file + elf->e_shoff);
	for (int i = 0; i < elf->e_shnum; i++) {
		if (section[i].sh_type != SHT_DYNSYM)
			continue;
		const char *names = file + section[section[i].sh_link].sh_offset;
		const Elf64_Sym *symbols = (const void *)(file + section[i].sh_offset);
		for (size_t n = 0; n < section[i].sh_size / sizeof *symbols; n++)
			if (symbols[n].st_shndx && !strcmp(names + symbols[n].st_name, name))
				return symbols[n].st_value;
	}
	fail("no such function");
	return 0;
}

/* Where a program is mapped: its first mapping is that of its file. */
static uint64_t base_of(pid_t pid)
{
	char path[64];
	unsigned long base;
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	if (!maps || fscanf(maps, "%lx", &base) != 1)
		die(path);
	fclose(maps);
	return base;
}

static size_t first_instruction(const char *function)
{
	if (!strcmp(function, "hot_frame"))
		return 1; /* push %rbp */
	if (!strcmp(function, "hot_leaf"))
		return 4; /* lea (%rdi,%rsi),%rax */
	if (!strcmp(function, "hot_endbr"))
		return 4; /* endbr64 */
	if (!strcmp(function, "hot_cond"))
		return 2; /* test %edi,%edi */
	fail("not a function of hotcall");
	return 0;
}

static void peek(pid_t pid, uint64_t at, unsigned char *bytes, size_t len)
{
	for (size_t done = 0; done < len; done += 8) {
		errno = 0;
		long word = ptrace(PTRACE_PEEKTEXT, pid, at + done, 0);
		if (errno)
			die("PTRACE_PEEKTEXT");
		memcpy(bytes + done, &word, len - done < 8 ? len - done : 8);
	}
}

static void poke(pid_t pid, uint64_t at, const unsigned char *bytes, size_t len)
{
	for (size_t done = 0; done < len; done += 8) {
		long word;
		peek(pid, at + done, (unsigned char *)&word, 8);
		memcpy(&word, bytes + done, len - done < 8 ? len - done : 8);
		if (ptrace(PTRACE_POKETEXT, pid, at + done, word))
			die("PTRACE_POKETEXT");
	}
}

static void expect_trap(pid_t pid)
{
	int status;
	if (waitpid(pid, &status, 0) != pid)
		die("waitpid");
	if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		fail("another stop than expected");
}

/* A page of the program's, made by a system call that it executes for us. */
static uint64_t make_page(pid_t pid, uint64_t near)
{
	static const unsigned char call[3] = { 0x0f, 0x05, 0xcc };
	unsigned char before[sizeof call];
	struct user_regs_struct saved, regs;
	if (ptrace(PTRACE_GETREGS, pid, 0, &saved))
		die("PTRACE_GETREGS");
	regs = saved;
	peek(pid, regs.rip, before, sizeof before);
	poke(pid, regs.rip, call, sizeof call);
	regs.rax = SYS_mmap;
	regs.orig_rax = -1;
	regs.rdi = near;
	regs.rsi = 4096;
	regs.rdx = PROT_READ | PROT_EXEC;
	regs.r10 = MAP_PRIVATE | MAP_ANONYMOUS;
	regs.r8 = -1;
	regs.r9 = 0;
	if (ptrace(PTRACE_SETREGS, pid, 0, &regs) || ptrace(PTRACE_CONT, pid, 0, 0))
		die("mmap in the program");
	expect_trap(pid);
	if (ptrace(PTRACE_GETREGS, pid, 0, &regs))
		die("PTRACE_GETREGS");
	poke(pid, saved.rip, before, sizeof before);
	if (ptrace(PTRACE_SETREGS, pid, 0, &saved))
		die("PTRACE_SETREGS");
	if (regs.rax != near)
		fail("no page near the program");
	return regs.rax;
}

/* The first instruction and a jump behind it. */
static void write_copy(pid_t pid, uint64_t copy, uint64_t function, size_t len)
{
	unsigned char code[16];
	int32_t distance = (int32_t)(function - copy) - 5;
	peek(pid, function, code, len);
	code[len] = 0xe9;
	memcpy(code + len + 1, &distance, sizeof distance);
	poke(pid, copy, code, len + 5);
}

static pid_t start(char **argv)
{
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(125);
		execv(argv[0], argv);
		_exit(127);
	}
	expect_trap(pid);
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL))
		die("PTRACE_SETOPTIONS");
	return pid;
}

int main(int argc, char **argv)
{
	static const unsigned char int3 = 0xcc;
	uint64_t hits = 0;
	int status;
	if (argc < 3) {
		fprintf(stderr, "usage: breakpoints FUNCTION PROGRAM [ARG...]\n");
		return 2;
	}
	size_t len = first_instruction(argv[1]);
	pid_t pid = start(argv + 2);
	uint64_t base = base_of(pid);
	uint64_t function = base + symbol(argv[2], argv[1]);
	uint64_t copy = make_page(pid, base - BELOW);
	write_copy(pid, copy, function, len);
	poke(pid, function, &int3, 1);
	for (;;) {
		struct user_regs_struct regs;
		if (ptrace(PTRACE_CONT, pid, 0, 0))
			die("PTRACE_CONT");
		if (waitpid(pid, &status, 0) != pid)
			die("waitpid");
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != SIGTRAP || ptrace(PTRACE_GETREGS, pid, 0, &regs))
			fail("another stop than a hit");
		if (regs.rip != function + 1)
			fail("a trap elsewhere");
		hits++;
		if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rip), copy))
			die("PTRACE_POKEUSER");
	}
	fprintf(stderr, "hits %llu\n", (unsigned long long)hits);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
