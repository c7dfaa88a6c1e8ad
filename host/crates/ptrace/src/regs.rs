//! General registers.

/// `struct user_regs_struct` (sys/user.h).
///
/// Read with PTRACE_GETREGS and not with the register set NT_PRSTATUS: for a
/// task that runs 32-bit code the latter has another layout, the former never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regs(pub(crate) libc::user_regs_struct);

/// All zero.
impl Default for Regs {
    fn default() -> Self {
        Self::zeroed()
    }
}

/// TF of eflags (Intel SDM volume 1, 3.4.3.3).
const TRAP_FLAG: u64 = 1 << 8;

/// A register of [`Regs`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register(usize);

impl Register {
    /// That of [`Regs::NAMES`] with this name; "ip", "pc", "sp", "flags" and
    /// "rflags" are understood too.
    pub fn named(name: &str) -> Option<Self> {
        let name = Self::canonical(name);
        let place = Regs::NAMES.iter().position(|known| *known == name);
        place.map(Self)
    }

    fn canonical(name: &str) -> &str {
        match name {
            "ip" | "pc" => "rip",
            "sp" => "rsp",
            "flags" | "rflags" => "eflags",
            other => other,
        }
    }
}

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        /// Register names in the order of [`Regs::values`]: that of
        /// `struct user_regs_struct`.
        pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

        /// All registers, in the order of [`Regs::NAMES`].
        pub fn values(&self) -> [u64; Regs::COUNT] {
            [$(self.0.$name),*]
        }

        /// Replaces all registers; same order.
        pub fn set_values(&mut self, values: &[u64; Regs::COUNT]) {
            let [$($name),*] = *values;
            $(self.0.$name = $name;)*
        }

        /// Sets one register; false when there is none of that name.
        #[must_use]
        pub fn set(&mut self, name: &str, value: u64) -> bool {
            match Register::canonical(name) {
                $(stringify!($name) => self.0.$name = value,)*
                _ => return false,
            }
            true
        }
    };
}

impl Regs {
    /// How many there are.
    pub const COUNT: usize = 27;

    fields!(
        r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs,
        eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs,
    );

    /// One register by name; see [`Register::named`].
    pub fn get(&self, name: &str) -> Option<u64> {
        Some(self.value(Register::named(name)?))
    }

    /// One register.
    pub fn value(&self, register: Register) -> u64 {
        self.values()[register.0]
    }

    pub(crate) fn zeroed() -> Self {
        // SAFETY: a plain structure of integers; all-zero is a value of it.
        Self(unsafe { std::mem::zeroed() })
    }

    /// Instruction pointer.
    pub fn ip(&self) -> u64 {
        self.0.rip
    }

    /// Stack pointer.
    pub fn sp(&self) -> u64 {
        self.0.rsp
    }

    /// Sets the instruction pointer.
    pub fn set_ip(&mut self, value: u64) {
        self.0.rip = value;
    }

    /// Sets the stack pointer.
    pub fn set_sp(&mut self, value: u64) {
        self.0.rsp = value;
    }

    /// Flags.
    pub fn flags(&self) -> u64 {
        self.0.eflags
    }

    /// Base of the segment fs.
    pub fn fs_base(&self) -> u64 {
        self.0.fs_base
    }

    /// Base of the segment gs.
    pub fn gs_base(&self) -> u64 {
        self.0.gs_base
    }

    /// A general register by the number that it has in instructions: 0 for rax
    /// to 15 for r15 (Intel SDM vol. 2, 3.1.1.1). The upper bits of a number
    /// are ignored.
    pub fn general(&self, number: u8) -> u64 {
        let mut copy = *self;
        *copy.general_mut(number)
    }

    /// Sets a general register; see [`Regs::general`].
    pub fn set_general(&mut self, number: u8, value: u64) {
        *self.general_mut(number) = value;
    }

    fn general_mut(&mut self, number: u8) -> &mut u64 {
        let r = &mut self.0;
        match number & 15 {
            0 => &mut r.rax,
            1 => &mut r.rcx,
            2 => &mut r.rdx,
            3 => &mut r.rbx,
            4 => &mut r.rsp,
            5 => &mut r.rbp,
            6 => &mut r.rsi,
            7 => &mut r.rdi,
            8 => &mut r.r8,
            9 => &mut r.r9,
            10 => &mut r.r10,
            11 => &mut r.r11,
            12 => &mut r.r12,
            13 => &mut r.r13,
            14 => &mut r.r14,
            _ => &mut r.r15,
        }
    }

    /// Whether the task runs 64-bit code: its code segment is the kernel's
    /// __USER_CS (arch/x86/include/asm/segment.h), not the 32-bit one.
    pub fn is_64_bit(&self) -> bool {
        const USER_CS: u64 = 0x33;
        self.0.cs == USER_CS
    }

    /// The first register that the kernel would refuse to change from what it is in another
    /// set (set_segment_reg and putreg in arch/x86/kernel/ptrace.c).
    pub fn refused(&self, before: &Self) -> Option<&'static str> {
        const USER_LEVEL: u64 = 3;
        /// TASK_SIZE_MAX with five levels of page tables; with four the kernel refuses more.
        const END_OF_USER: u64 = (1 << 56) - 4096;
        let is_refused = |name: &str, value: u64| match name {
            "cs" | "ss" => value & USER_LEVEL != USER_LEVEL,
            "ds" | "es" | "fs" | "gs" => value & 0xffff != 0 && value & USER_LEVEL != USER_LEVEL,
            "fs_base" | "gs_base" => value >= END_OF_USER,
            _ => false,
        };
        let values = self.values().into_iter().zip(before.values());
        let mut named = Self::NAMES.iter().zip(values);
        named
            .find(|(name, (value, before))| value != before && is_refused(name, *value))
            .map(|(name, _)| *name)
    }

    /// Whether two sets differ in nothing that the program itself can change:
    /// the resume flag and the number of the system call do not count.
    pub fn same_state(&self, other: &Self) -> bool {
        const RESUME_FLAG: u64 = 1 << 16;
        let plain = |regs: &Self| {
            let mut regs = *regs;
            regs.0.orig_rax = 0;
            regs.0.eflags &= !RESUME_FLAG;
            regs
        };
        plain(self) == plain(other)
    }

    /// Whether the program steps itself: the trap flag, which ptrace(2) shows only
    /// when it is not the tracer's (get_flags in arch/x86/kernel/ptrace.c).
    pub fn has_trap_flag(&self) -> bool {
        self.0.eflags & TRAP_FLAG != 0
    }

    /// Loads the flags that a program may change (Intel SDM volume 2, POPF, at
    /// privilege level 3); false, and nothing is done, with the trap flag.
    #[must_use]
    pub fn pop_flags(&mut self, popped: u64) -> bool {
        const CHANGEABLE: u64 = 0x0024_4cd5;
        if popped & TRAP_FLAG != 0 {
            return false;
        }
        self.0.eflags = self.0.eflags & !CHANGEABLE | popped & CHANGEABLE;
        true
    }

    /// Outside of a system call: nothing for the kernel to restart.
    pub fn leave_syscall(&mut self) {
        self.0.orig_rax = u64::MAX;
    }

    /// About to execute a `syscall` instruction for this call.
    pub fn set_syscall(&mut self, nr: u32, args: &[u64; 6]) {
        self.0.rax = u64::from(nr);
        self.set_syscall_args(false, args);
        self.leave_syscall();
    }

    /// `syscall` leaves its return address in rcx (Intel SDM volume 2, SYSCALL).
    pub fn set_syscall_return(&mut self, ip: u64) {
        self.0.rip = ip;
        self.0.rcx = ip;
    }

    /// About to enter a function: the first six integer arguments, and how many
    /// vector registers hold more of them (System V AMD64 ABI, 3.2.3 and 3.5.7);
    /// direction and trap flag are clear (3.2.1).
    pub fn set_call(&mut self, function: u64, ints: &[u64; 6], vectors: u8) {
        const DIRECTION_FLAG: u64 = 1 << 10;
        let r = &mut self.0;
        [r.rdi, r.rsi, r.rdx, r.rcx, r.r8, r.r9] = *ints;
        r.rax = u64::from(vectors);
        r.rip = function;
        r.eflags &= !(TRAP_FLAG | DIRECTION_FLAG);
        self.leave_syscall();
    }

    /// Result register.
    pub fn result(&self) -> i64 {
        self.0.rax.cast_signed()
    }

    /// First and second integer result register of a function.
    pub fn results(&self) -> [u64; 2] {
        [self.0.rax, self.0.rdx]
    }

    /// Sets the result register.
    pub fn set_result(&mut self, value: i64) {
        self.0.rax = value.cast_unsigned();
    }

    /// Number of the system call that is being executed, -1 outside of one
    /// (`orig_rax`, arch/x86/include/asm/syscall.h).
    pub fn syscall_nr(&self) -> i64 {
        self.0.orig_rax.cast_signed()
    }

    /// At a syscall-entry stop: the call to execute instead; -1 executes none
    /// and leaves the result register alone.
    pub fn set_syscall_nr(&mut self, nr: i64) {
        self.0.orig_rax = nr.cast_unsigned();
    }

    /// Argument registers of the 64-bit convention (syscall(2)) or, for calls
    /// made by `int 0x80`, of the 32-bit one.
    pub fn syscall_args(&self, compat: bool) -> [u64; 6] {
        let r = &self.0;
        if compat {
            [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp].map(|v| v & 0xffff_ffff)
        } else {
            [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]
        }
    }

    /// Sets the argument registers; see [`Regs::syscall_args`].
    pub fn set_syscall_args(&mut self, compat: bool, args: &[u64; 6]) {
        let r = &mut self.0;
        if compat {
            [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp] = args.map(|v| v & 0xffff_ffff);
        } else {
            [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = *args;
        }
    }

    /// Takes the argument registers, whole ones, from another set; see
    /// [`Regs::syscall_args`].
    pub fn copy_syscall_args(&mut self, compat: bool, from: &Regs) {
        let (r, f) = (&mut self.0, &from.0);
        if compat {
            [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp] = [f.rbx, f.rcx, f.rdx, f.rsi, f.rdi, f.rbp];
        } else {
            [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9] = [f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9];
        }
    }

    /// Makes the interrupted call start over: the number back into the result
    /// register, the instruction pointer back onto the instruction. `syscall`,
    /// `sysenter` and `int 0x80` are two bytes each, which is what the kernel
    /// itself relies on (arch/x86/kernel/signal.c, `handle_signal`).
    pub fn restart_syscall(&mut self) {
        self.0.rax = self.0.orig_rax;
        self.0.rip = self.0.rip.wrapping_sub(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_agree() {
        let mut regs = Regs::zeroed();
        for (i, name) in Regs::NAMES.iter().enumerate() {
            assert!(regs.set(name, i as u64 + 100));
        }
        assert_eq!(Regs::NAMES.len(), Regs::COUNT);
        for (i, value) in regs.values().into_iter().enumerate() {
            assert_eq!(value, i as u64 + 100);
            assert_eq!(regs.get(Regs::NAMES[i]), Some(value));
        }
        assert_eq!(regs.get("ip"), regs.get("rip"));
        assert_eq!(regs.get("xyz"), None);
        assert!(!regs.set("xyz", 1));
    }

    #[test]
    fn general_registers_have_their_numbers() {
        let mut regs = Regs::zeroed();
        let names = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
            "r12", "r13", "r14", "r15",
        ];
        for (number, name) in (0..).zip(names) {
            regs.set_general(number, u64::from(number) + 100);
            assert_eq!(regs.get(name), Some(u64::from(number) + 100));
            assert_eq!(regs.general(number), u64::from(number) + 100);
        }
    }

    #[test]
    fn what_the_kernel_would_refuse() {
        let before = Regs::zeroed();
        for (name, value, refused) in [
            ("ds", 1, true),
            ("ds", 3, false),
            ("gs", 0x2b, false),
            ("cs", 0x33, false),
            ("ss", 0x18, true),
            ("fs_base", 0x7fff_0000_0000, false),
            ("gs_base", 0xffff_8000_0000_0000, true),
            ("rip", u64::MAX, false),
        ] {
            let mut regs = before;
            assert!(regs.set(name, value));
            assert_eq!(regs.refused(&before), refused.then_some(name));
            // As it is already.
            assert_eq!(regs.refused(&regs), None);
        }
    }

    #[test]
    fn compat_arguments_are_32_bits_wide() {
        let mut regs = Regs::zeroed();
        regs.set_syscall_args(true, &[u64::MAX, 1, 2, 3, 4, 5]);
        assert_eq!(regs.syscall_args(true), [0xffff_ffff, 1, 2, 3, 4, 5]);
        regs.set_syscall_args(false, &[u64::MAX, 1, 2, 3, 4, 5]);
        assert_eq!(regs.syscall_args(false), [u64::MAX, 1, 2, 3, 4, 5]);
    }
}
