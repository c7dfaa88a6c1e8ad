//! What comes with a signal: siginfo_t (sigaction(2), asm-generic/siginfo.h).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::abi::Abi;
use crate::decode::schema::prelude::*;
use crate::decode::schema::sets;
use crate::decode::{Field, Fields};
use crate::{errno, signal};

/// A siginfo_t in memory: 128 bytes on every ABI.
pub(crate) const SIGINFO: Type = Naming(read, 128);

fn read(view: &View<'_>) -> Value {
    siginfo(view.bytes, view.abi)
}

const ILL: u32 = 4;
const TRAP: u32 = 5;
const BUS: u32 = 7;
const FPE: u32 = 8;
const SEGV: u32 = 11;
const CHLD: u32 = 17;
const IO: u32 = 29;
const SYS: u32 = 31;

const SI_USER: i32 = 0;
const SI_TIMER: i32 = -2;
const SI_SIGIO: i32 = -5;
const SI_TKILL: i32 = -6;
const CLD_EXITED: i32 = 1;
const BUS_MCEERR_AR: i32 = 4;
const BUS_MCEERR_AO: i32 = 5;
const SEGV_BNDERR: i32 = 3;
const SEGV_PKUERR: i32 = 4;
const POLL_HUP: i32 = 6;

/// The bytes of a siginfo_t of this ABI as a structure. What is missing is zero.
#[must_use]
pub fn siginfo(bytes: &[u8], abi: Abi) -> Value {
    let mut info = Info {
        bytes,
        long: Width::Long.bytes(abi),
        fields: Vec::new(),
    };
    let number = info.u32(0);
    if number != 0 {
        info.all(number);
    }
    Value::Struct(Fields {
        fields: info.fields,
        more: false,
    })
}

struct Info<'a> {
    bytes: &'a [u8],
    /// The size of a `long`.
    long: usize,
    fields: Vec<Field>,
}

impl Info<'_> {
    /// A number of so many bytes.
    fn number(&self, at: usize, len: usize) -> u64 {
        let mut whole = [0; 8];
        let bytes = self.bytes.get(at..).unwrap_or_default();
        for (to, from) in whole.iter_mut().zip(bytes.iter().take(len)) {
            *to = *from;
        }
        u64::from_le_bytes(whole)
    }

    fn u32(&self, at: usize) -> u32 {
        (self.number(at, 4) & 0xffff_ffff) as u32
    }

    /// Of the union behind the first three numbers, which is aligned as a `long`: what
    /// is behind so many ints and so many longs in it.
    fn at(&self, ints: usize, longs: usize) -> usize {
        let union = 12_usize.next_multiple_of(self.long);
        union + 4 * ints + self.long * longs
    }

    fn long(&self, ints: usize, longs: usize) -> u64 {
        self.number(self.at(ints, longs), self.long)
    }

    fn int(&self, ints: usize, longs: usize) -> u32 {
        self.u32(self.at(ints, longs))
    }

    fn show(&mut self, name: &'static str, value: Value) {
        self.fields.push(Field {
            name,
            value,
            verbose: false,
        });
    }

    fn all(&mut self, number: u32) {
        let code = self.u32(8);
        self.show("si_signo", Value::Signal(number));
        self.show("si_code", named_code(number, code.cast_signed()));
        let error = self.u32(4);
        if error != 0 {
            let name = errno::name(error);
            self.show(
                "si_errno",
                match name {
                    Some(name) => Value::Named(error.into(), name.into()),
                    None => Value::Unsigned(error.into()),
                },
            );
        }
        match code.cast_signed() {
            SI_USER | SI_TKILL => self.sender(),
            SI_TIMER => {
                self.show("si_timerid", Value::Hex(self.int(0, 0).into()));
                let overrun = self.int(1, 0).cast_signed();
                self.show("si_overrun", Value::Signed(overrun.into()));
                self.value();
            }
            SI_SIGIO => self.poll(),
            ..0 => {
                self.sender();
                self.value_if_any();
            }
            code => self.by_signal(number, code),
        }
    }

    fn by_signal(&mut self, number: u32, code: i32) {
        match number {
            ILL | TRAP | BUS | FPE | SEGV => self.fault(number, code),
            CHLD => self.child(code),
            IO if code <= POLL_HUP => self.poll(),
            IO => {}
            SYS => self.call(),
            _ => {
                if self.int(0, 0) != 0 || self.int(1, 0) != 0 {
                    self.sender();
                }
                self.value_if_any();
            }
        }
    }

    fn sender(&mut self) {
        self.show("si_pid", Value::Pid(self.int(0, 0).cast_signed()));
        self.show("si_uid", Value::Uid(self.int(1, 0)));
    }

    /// A union: shown both as a number and as a pointer.
    fn value(&mut self) {
        let number = self.int(2, 0).cast_signed();
        self.show("si_int", Value::Signed(number.into()));
        self.show("si_ptr", Value::Address(self.long(2, 0)));
    }

    fn value_if_any(&mut self) {
        if self.long(2, 0) != 0 {
            self.value();
        }
    }

    fn fault(&mut self, number: u32, code: i32) {
        self.show("si_addr", Value::Address(self.long(0, 0)));
        match (number, code) {
            (BUS, BUS_MCEERR_AR | BUS_MCEERR_AO) => {
                let bits = self.number(self.at(0, 1), 2);
                self.show("si_addr_lsb", Value::Hex(bits));
            }
            (SEGV, SEGV_BNDERR) => {
                self.show("si_lower", Value::Address(self.long(0, 2)));
                self.show("si_upper", Value::Address(self.long(0, 3)));
            }
            (SEGV, SEGV_PKUERR) => {
                self.show("si_pkey", Value::Unsigned(self.int(0, 2).into()));
            }
            _ => {}
        }
    }

    fn child(&mut self, code: i32) {
        self.sender();
        let status = self.int(2, 0);
        self.show(
            "si_status",
            match code {
                CLD_EXITED => Value::Signed(status.cast_signed().into()),
                _ => Value::Signal(status),
            },
        );
        // Three ints, and what aligns the longs behind them.
        let ints = if self.long == 8 { 4 } else { 3 };
        self.show("si_utime", ticks(self.long(ints, 0)));
        self.show("si_stime", ticks(self.long(ints, 1)));
    }

    fn poll(&mut self) {
        let band = match self.long {
            4 => i64::from(self.int(0, 0).cast_signed()),
            _ => self.long(0, 0).cast_signed(),
        };
        self.show("si_band", Value::Signed(band));
        self.show("si_fd", Value::Fd(self.int(0, 1).cast_signed()));
    }

    fn call(&mut self) {
        self.show("si_call_addr", Value::Address(self.long(0, 0)));
        let (number, arch) = (self.int(0, 1), self.int(1, 1));
        self.show("si_syscall", call_number(arch, number));
        self.show("si_arch", Value::One(arch.into(), &ARCH));
    }
}

/// Why it was sent.
fn named_code(number: u32, code: i32) -> Value {
    let raw = u64::from(code.cast_unsigned());
    // With F_SETSIG (fcntl(2)) other signals have those codes too, and nothing tells.
    let of_io = |name: &&str| number == IO || !name.starts_with("POLL_");
    match signal::code_name(number, code).filter(of_io) {
        Some(name) => Value::Named(raw, name.into()),
        None => Value::Hex(raw),
    }
}

/// A system call of an ABI: `__NR_read`.
pub(crate) fn call_number(arch: u32, number: u32) -> Value {
    match crate::name(arch, number) {
        Some(name) => Value::Named(number.into(), format!("__NR_{name}").into()),
        None => Value::Unsigned(number.into()),
    }
}

/// Clock ticks: a hundred a second for user space, on every machine (times(2)).
fn ticks(count: u64) -> Value {
    let value = Value::Unsigned(count);
    match count {
        0 => value,
        _ => Value::Comment(
            Box::new(value),
            format!("{}.{:02} s", count / 100, count % 100),
        ),
    }
}

sets! {
    /// linux/audit.h
    ARCH "AUDIT_ARCH_???" {
        AUDIT_ARCH_AARCH64 = 0xc000_00b7, AUDIT_ARCH_ALPHA = 0xc000_9026,
        AUDIT_ARCH_ARCOMPACT = 0x4000_005d, AUDIT_ARCH_ARCOMPACTBE = 0x5d,
        AUDIT_ARCH_ARCV2 = 0x4000_00c3, AUDIT_ARCH_ARCV2BE = 0xc3, AUDIT_ARCH_ARM = 0x4000_0028,
        AUDIT_ARCH_ARMEB = 0x28, AUDIT_ARCH_CSKY = 0x4000_00fc, AUDIT_ARCH_HEXAGON = 0xa4,
        AUDIT_ARCH_I386 = 0x4000_0003, AUDIT_ARCH_IA64 = 0xc000_0032, AUDIT_ARCH_M68K = 0x4,
        AUDIT_ARCH_MICROBLAZE = 0xbd, AUDIT_ARCH_MIPS = 0x8, AUDIT_ARCH_MIPSEL = 0x4000_0008,
        AUDIT_ARCH_MIPS64 = 0x8000_0008, AUDIT_ARCH_MIPS64N32 = 0xa000_0008,
        AUDIT_ARCH_MIPSEL64 = 0xc000_0008, AUDIT_ARCH_MIPSEL64N32 = 0xe000_0008,
        AUDIT_ARCH_NIOS2 = 0x4000_0071, AUDIT_ARCH_OPENRISC = 0x5c, AUDIT_ARCH_PARISC = 0xf,
        AUDIT_ARCH_PARISC64 = 0x8000_000f, AUDIT_ARCH_PPC = 0x14,
        AUDIT_ARCH_PPC64 = 0x8000_0015, AUDIT_ARCH_PPC64LE = 0xc000_0015,
        AUDIT_ARCH_RISCV32 = 0x4000_00f3, AUDIT_ARCH_RISCV64 = 0xc000_00f3,
        AUDIT_ARCH_S390 = 0x16, AUDIT_ARCH_S390X = 0x8000_0016, AUDIT_ARCH_SH = 0x2a,
        AUDIT_ARCH_SHEL = 0x4000_002a, AUDIT_ARCH_SPARC = 0x2, AUDIT_ARCH_SPARC64 = 0x8000_002b,
        AUDIT_ARCH_X86_64 = 0xc000_003e, AUDIT_ARCH_XTENSA = 0x5e,
        AUDIT_ARCH_LOONGARCH32 = 0x4000_0102, AUDIT_ARCH_LOONGARCH64 = 0xc000_0102,
    }
}
