//! Registers as ptrace(2) hands them out (sys/user.h).

use alloc::boxed::Box;

use crate::abi::{I386, X86_64};
use crate::decode::schema::prelude::*;
use crate::decode::{Field, Fields};

use super::or_address;

structs! {
    /// x86_64
    USER_REGS "user_regs_struct" (in_part) {
        r15: X64, r14: X64, r13: X64, r12: X64, rbp: X64, rbx: X64, r11: X64, r10: X64, r9: X64,
        r8: X64, rax: X64, rcx: X64, rdx: X64, rsi: X64, rdi: X64, orig_rax: X64, rip: X64,
        cs: X64, eflags: X64, rsp: X64, ss: X64, fs_base: X64, gs_base: X64, ds: X64, es: X64,
        fs: X64, gs: X64,
    }
    /// i386
    USER_REGS_32 "user_regs_struct" (in_part) {
        ebx: X32, ecx: X32, edx: X32, esi: X32, edi: X32, ebp: X32, eax: X32, xds: X32,
        xes: X32, xfs: X32, xgs: X32, orig_eax: X32, eip: X32, xcs: X32, eflags: X32, esp: X32,
        xss: X32,
    }
    /// x86_64
    USER_FPREGS "user_fpregs_struct" (in_part) {
        cwd: X16, swd: X16, ftw: X16, fop: X16, rip: X64, rdp: X64, mxcsr: X32, mxcr_mask: X32,
        st_space: Fixed(&X32, 32), xmm_space: Fixed(&X32, 64), padding: Fixed(&X32, 24),
    }
}

/// Fewer than all may be asked for, or more than there are.
fn in_part(fields: &mut Fields, view: &View<'_>) {
    let known = view
        .outer
        .map(|(set, _)| set.layout(view.abi).size as usize);
    fields.more = known.is_some_and(|known| view.bytes.len() > known);
}

/// How much of a set of registers there is: whole ones, or nothing that is read here.
/// Which set (NT_* in linux/elf.h) is argument 2 of ptrace(2).
fn set_len(view: &View<'_>) -> u64 {
    const NT_PRSTATUS: u32 = 1;
    const NT_PRFPREG: u32 = 2;
    let unit = match (view.arg32(2), view.abi) {
        (NT_PRSTATUS, X86_64) => 8,
        (NT_PRSTATUS, I386) | (NT_PRFPREG, X86_64) => 4,
        _ => return 0,
    };
    let len = view.field("iov_len").unwrap_or(0);
    if len.is_multiple_of(unit) { len } else { 0 }
}

fn set_type(view: &View<'_>) -> &'static Type {
    match (view.arg32(2), view.abi) {
        (2, _) => const { &Struct(&USER_FPREGS) },
        (_, I386) => const { &Struct(&USER_REGS_32) },
        _ => const { &Struct(&USER_REGS) },
    }
}

const LEN: Len = Len::With(set_len);
const SET_OUT: Type = Sized(Out, LEN, &Pick(set_type, 0));
const SET_IN: Type = Sized(In, LEN, &Pick(set_type, 0));

structs! {
    /// PTRACE_GETREGSET in ptrace(2)
    GET_SET "iovec" { iov_base: Then(&SET_OUT, or_address), iov_len: SIZE }
    /// PTRACE_SETREGSET in ptrace(2)
    SET_SET "iovec" { iov_base: Then(&SET_IN, or_address), iov_len: SIZE }
}

/// Of before and after a call only the length differs: the registers are those after.
pub(super) fn one(value: Value, _: &View<'_>) -> Value {
    let Value::Changed {
        addr,
        before,
        after,
    } = value
    else {
        return value;
    };
    let len = |of: &Value| of.fields()?.get("iov_len")?.number();
    let (asked, got) = (len(&before), len(&after));
    let mut value = *after;
    if let (Value::Struct(fields), Some(asked), Some(got)) = (&mut value, asked, got)
        && asked != got
    {
        fields.change("iov_len", |_| Value::Changed {
            addr: 0,
            before: Box::new(Value::Unsigned(asked)),
            after: Box::new(Value::Unsigned(got)),
        });
    }
    Value::To {
        addr,
        value: Box::new(value),
    }
}

const REGISTERS: [&str; 21] = [
    "R15", "R14", "R13", "R12", "RBP", "RBX", "R11", "R10", "R9", "R8", "RAX", "RCX", "RDX", "RSI",
    "RDI", "ORIG_RAX", "RIP", "CS", "EFL", "RSP", "SS",
];
/// What is behind them in `struct user`.
const MEMBERS: [(u64, &str); 14] = [
    (216, "u_fpvalid"),
    (224, "i387"),
    (736, "u_tsize"),
    (744, "u_dsize"),
    (752, "u_ssize"),
    (760, "start_code"),
    (768, "start_stack"),
    (776, "signal"),
    (784, "reserved"),
    (792, "u_ar0"),
    (800, "u_fpstate"),
    (808, "magic"),
    (816, "u_comm"),
    (848, "u_debugreg"),
];
const SIZE_OF_USER: u64 = 912;

/// An offset in `struct user` of x86_64.
pub(super) fn offset(view: &View<'_>) -> Value {
    let raw = view.raw;
    if view.abi != X86_64 || raw > SIZE_OF_USER {
        return Value::Hex(raw);
    }
    if raw == SIZE_OF_USER {
        return Value::Named(raw, "sizeof(struct user)".into());
    }
    let member = MEMBERS.iter().rfind(|(at, _)| *at <= raw);
    let (at, mut text) = match member {
        Some((at, name)) => (*at, alloc::format!("offsetof(struct user, {name})")),
        None => {
            let last = REGISTERS.len() - 1;
            let index = usize::try_from(raw / 8).unwrap_or(last).min(last);
            let name = REGISTERS.get(index).copied().unwrap_or_default();
            (8 * index as u64, alloc::format!("8*{name}"))
        }
    };
    if raw != at {
        text.push_str(&alloc::format!("+{}", raw - at));
    }
    Value::Named(raw, text.into())
}

/// What happened to a traced task at a call: PTRACE_GET_SYSCALL_INFO in ptrace(2).
/// There may be less of it than all.
pub(super) fn call_info(view: &View<'_>) -> Value {
    use super::ptrace::CALL_INFO;
    use crate::decode::signals::siginfo::{ARCH, call_number};
    use alloc::vec::Vec;

    fn field(name: &'static str, value: Option<Value>) -> Option<Field> {
        Some(Field {
            name,
            value: value?,
            verbose: false,
        })
    }
    fn fields(of: Vec<Option<Field>>) -> Value {
        // What is behind the first that is not there is not there either.
        let fields = of.into_iter().map_while(|field| field).collect();
        Value::Struct(Fields {
            fields,
            more: false,
        })
    }
    let number = |at, width| view.number(at, width);
    let op = number(0, W8);
    let arch = number(4, W32);
    let abi = arch.unwrap_or(0) as u32;
    let call = |more: Option<Field>| {
        let nr = number(24, W64).map(|nr| match u32::try_from(nr) {
            Ok(nr) => call_number(abi, nr),
            Err(_) => Value::Unsigned(nr),
        });
        nr.as_ref()?;
        let args: Vec<_> = (0..6)
            .map_while(|index| number(32 + 8 * index, W64).map(Value::Hex))
            .collect();
        let all = args.len() == 6;
        let args = (!args.is_empty()).then(|| {
            Value::Array(crate::decode::Items {
                items: args,
                ..Default::default()
            })
        });
        Some(fields(Vec::from([
            field("nr", nr),
            field("args", args),
            more.filter(|_| all),
        ])))
    };
    let last = match op {
        Some(1) => field("entry", call(None)),
        Some(2) => {
            let error = number(32, W8);
            let result = number(24, W64).map(|raw| {
                let result = raw.cast_signed();
                let errno = u32::try_from(result.unsigned_abs()).unwrap_or(0);
                match crate::errno::name(errno) {
                    Some(name) if error.unwrap_or(0) != 0 && result < 0 => {
                        Value::Named(raw, alloc::format!("-{name}").into())
                    }
                    _ => Value::Signed(result),
                }
            });
            let error = field("is_error", error.map(Value::Unsigned));
            field(
                "exit",
                result.map(|result| fields(Vec::from([field("rval", Some(result)), error]))),
            )
        }
        Some(3) => {
            let data = number(80, W32).map(Value::Unsigned);
            field("seccomp", call(field("ret_data", data)))
        }
        _ => None,
    };
    fields(Vec::from([
        field("op", op.map(|op| Value::One(op, &CALL_INFO))),
        field("arch", arch.map(|arch| Value::One(arch, &ARCH))),
        field("instruction_pointer", number(8, W64).map(Value::Address)),
        field("stack_pointer", number(16, W64).map(Value::Address)),
        last,
    ]))
}
