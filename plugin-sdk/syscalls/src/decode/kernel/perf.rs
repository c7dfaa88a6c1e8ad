//! Performance counters (perf_event_open(2), linux/perf_event.h).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::Fields;
use crate::decode::schema::{prelude::*, sets};
use crate::decode::text;
use crate::decode::times::sets::CLOCK;

sets! {
    OPEN_FLAGS "PERF_FLAG_???" {
        PERF_FLAG_FD_NO_GROUP = 1, PERF_FLAG_FD_OUTPUT = 2, PERF_FLAG_PID_CGROUP = 4,
        PERF_FLAG_FD_CLOEXEC = 8,
    }
    TYPES "PERF_TYPE_???" {
        PERF_TYPE_HARDWARE = 0, PERF_TYPE_SOFTWARE = 1, PERF_TYPE_TRACEPOINT = 2,
        PERF_TYPE_HW_CACHE = 3, PERF_TYPE_RAW = 4, PERF_TYPE_BREAKPOINT = 5,
    }
    SIZES "PERF_ATTR_SIZE_???" {
        PERF_ATTR_SIZE_VER0 = 64, PERF_ATTR_SIZE_VER1 = 72, PERF_ATTR_SIZE_VER2 = 80,
        PERF_ATTR_SIZE_VER3 = 96, PERF_ATTR_SIZE_VER4 = 104, PERF_ATTR_SIZE_VER5 = 112,
        PERF_ATTR_SIZE_VER6 = 120, PERF_ATTR_SIZE_VER7 = 128,
    }
    HARDWARE "PERF_COUNT_HW_???" {
        PERF_COUNT_HW_CPU_CYCLES = 0, PERF_COUNT_HW_INSTRUCTIONS = 1,
        PERF_COUNT_HW_CACHE_REFERENCES = 2, PERF_COUNT_HW_CACHE_MISSES = 3,
        PERF_COUNT_HW_BRANCH_INSTRUCTIONS = 4, PERF_COUNT_HW_BRANCH_MISSES = 5,
        PERF_COUNT_HW_BUS_CYCLES = 6, PERF_COUNT_HW_STALLED_CYCLES_FRONTEND = 7,
        PERF_COUNT_HW_STALLED_CYCLES_BACKEND = 8, PERF_COUNT_HW_REF_CPU_CYCLES = 9,
    }
    SOFTWARE "PERF_COUNT_SW_???" {
        PERF_COUNT_SW_CPU_CLOCK = 0, PERF_COUNT_SW_TASK_CLOCK = 1,
        PERF_COUNT_SW_PAGE_FAULTS = 2, PERF_COUNT_SW_CONTEXT_SWITCHES = 3,
        PERF_COUNT_SW_CPU_MIGRATIONS = 4, PERF_COUNT_SW_PAGE_FAULTS_MIN = 5,
        PERF_COUNT_SW_PAGE_FAULTS_MAJ = 6, PERF_COUNT_SW_ALIGNMENT_FAULTS = 7,
        PERF_COUNT_SW_EMULATION_FAULTS = 8, PERF_COUNT_SW_DUMMY = 9,
        PERF_COUNT_SW_BPF_OUTPUT = 10, PERF_COUNT_SW_CGROUP_SWITCHES = 11,
    }
    CACHES "PERF_COUNT_HW_CACHE_???" {
        PERF_COUNT_HW_CACHE_L1D = 0, PERF_COUNT_HW_CACHE_L1I = 1, PERF_COUNT_HW_CACHE_LL = 2,
        PERF_COUNT_HW_CACHE_DTLB = 3, PERF_COUNT_HW_CACHE_ITLB = 4, PERF_COUNT_HW_CACHE_BPU = 5,
        PERF_COUNT_HW_CACHE_NODE = 6,
    }
    CACHE_OPERATIONS "PERF_COUNT_HW_CACHE_OP_???" {
        PERF_COUNT_HW_CACHE_OP_READ = 0, PERF_COUNT_HW_CACHE_OP_WRITE = 1,
        PERF_COUNT_HW_CACHE_OP_PREFETCH = 2,
    }
    CACHE_RESULTS "PERF_COUNT_HW_CACHE_RESULT_???" {
        PERF_COUNT_HW_CACHE_RESULT_ACCESS = 0, PERF_COUNT_HW_CACHE_RESULT_MISS = 1,
    }
    SAMPLES "PERF_SAMPLE_???" {
        PERF_SAMPLE_IP = 0x1, PERF_SAMPLE_TID = 0x2, PERF_SAMPLE_TIME = 0x4,
        PERF_SAMPLE_ADDR = 0x8, PERF_SAMPLE_READ = 0x10, PERF_SAMPLE_CALLCHAIN = 0x20,
        PERF_SAMPLE_ID = 0x40, PERF_SAMPLE_CPU = 0x80, PERF_SAMPLE_PERIOD = 0x100,
        PERF_SAMPLE_STREAM_ID = 0x200, PERF_SAMPLE_RAW = 0x400,
        PERF_SAMPLE_BRANCH_STACK = 0x800, PERF_SAMPLE_REGS_USER = 0x1000,
        PERF_SAMPLE_STACK_USER = 0x2000, PERF_SAMPLE_WEIGHT = 0x4000,
        PERF_SAMPLE_DATA_SRC = 0x8000, PERF_SAMPLE_IDENTIFIER = 0x10000,
        PERF_SAMPLE_TRANSACTION = 0x20000, PERF_SAMPLE_REGS_INTR = 0x40000,
        PERF_SAMPLE_PHYS_ADDR = 0x80000, PERF_SAMPLE_AUX = 0x10_0000,
        PERF_SAMPLE_CGROUP = 0x20_0000, PERF_SAMPLE_DATA_PAGE_SIZE = 0x40_0000,
        PERF_SAMPLE_CODE_PAGE_SIZE = 0x80_0000, PERF_SAMPLE_WEIGHT_STRUCT = 0x100_0000,
    }
    FORMATS "PERF_FORMAT_???" {
        PERF_FORMAT_TOTAL_TIME_ENABLED = 1, PERF_FORMAT_TOTAL_TIME_RUNNING = 2,
        PERF_FORMAT_ID = 4, PERF_FORMAT_GROUP = 8, PERF_FORMAT_LOST = 16,
    }
    BRANCHES "PERF_SAMPLE_BRANCH_???" {
        PERF_SAMPLE_BRANCH_USER = 0x1, PERF_SAMPLE_BRANCH_KERNEL = 0x2,
        PERF_SAMPLE_BRANCH_HV = 0x4, PERF_SAMPLE_BRANCH_ANY = 0x8,
        PERF_SAMPLE_BRANCH_ANY_CALL = 0x10, PERF_SAMPLE_BRANCH_ANY_RETURN = 0x20,
        PERF_SAMPLE_BRANCH_IND_CALL = 0x40, PERF_SAMPLE_BRANCH_ABORT_TX = 0x80,
        PERF_SAMPLE_BRANCH_IN_TX = 0x100, PERF_SAMPLE_BRANCH_NO_TX = 0x200,
        PERF_SAMPLE_BRANCH_COND = 0x400, PERF_SAMPLE_BRANCH_CALL_STACK = 0x800,
        PERF_SAMPLE_BRANCH_IND_JUMP = 0x1000, PERF_SAMPLE_BRANCH_CALL = 0x2000,
        PERF_SAMPLE_BRANCH_NO_FLAGS = 0x4000, PERF_SAMPLE_BRANCH_NO_CYCLES = 0x8000,
        PERF_SAMPLE_BRANCH_TYPE_SAVE = 0x10000, PERF_SAMPLE_BRANCH_HW_INDEX = 0x20000,
        PERF_SAMPLE_BRANCH_PRIV_SAVE = 0x40000,
    }
    /// linux/hw_breakpoint.h
    BREAKPOINTS "HW_BREAKPOINT_???" {
        HW_BREAKPOINT_EMPTY = 0, HW_BREAKPOINT_R = 1, HW_BREAKPOINT_W = 2, HW_BREAKPOINT_RW = 3,
        HW_BREAKPOINT_X = 4,
    }
}

/// Sizes of the first version and of the last one that is known.
const LEAST: usize = 64;
const MOST: u32 = 128;

/// `struct perf_event_attr *`; how long it is, is in it.
pub(in crate::decode) const ATTRIBUTES: Type = Then(
    &Sized(In, Len::Fixed(MOST), &Struct(&ATTRIBUTE)),
    |value, _| match &value {
        // Less than there was in the first version.
        Value::To { addr, value: inner } => match inner.fields().map(|it| it.get("read_format")) {
            Some(None) => Value::Address(*addr),
            _ => value,
        },
        _ => value,
    },
);

const fn flags64(set: &'static Set) -> Type {
    Scalar(W64, Style::Flags(set))
}

structs! {
    ATTRIBUTE "perf_event_attr" (arrange) {
        r#type: one(&TYPES), size: one(&SIZES), config: Special(config, 8), sample_period: U64,
        sample_type: flags64(&SAMPLES), read_format: flags64(&FORMATS),
        disabled: U64; 1, inherit: U64; 1, pinned: U64; 1, exclusive: U64; 1,
        exclude_user: U64; 1, exclude_kernel: U64; 1, exclude_hv: U64; 1, exclude_idle: U64; 1,
        mmap: U64; 1, comm: U64; 1, freq: U64; 1, inherit_stat: U64; 1, enable_on_exec: U64; 1,
        task: U64; 1, watermark: U64; 1, precise_ip: U64; 2, mmap_data: U64; 1,
        sample_id_all: U64; 1, exclude_host: U64; 1, exclude_guest: U64; 1,
        exclude_callchain_kernel: U64; 1, exclude_callchain_user: U64; 1, mmap2: U64; 1,
        comm_exec: U64; 1, use_clockid: U64; 1, context_switch: U64; 1, write_backward: U64; 1,
        namespaces: U64; 1, ksymbol: U64; 1, bpf_event: U64; 1, aux_output: U64; 1,
        cgroup: U64; 1, text_poke: U64; 1, build_id: U64; 1, inherit_thread: U64; 1,
        remove_on_exec: U64; 1, sigtrap: U64; 1, __reserved_1: X64; 26,
        [verbose] wakeup_events: U32, [verbose] bp_type: Special(breakpoint, 4),
        [verbose] config1: X64, [verbose] config2: X64,
        [verbose] branch_sample_type: flags64(&BRANCHES), [verbose] sample_regs_user: X64,
        [verbose] sample_stack_user: X32, [verbose] clockid: one(&CLOCK),
        [verbose] sample_regs_intr: X64, [verbose] aux_watermark: U32,
        [verbose] sample_max_stack: U16, __reserved_2: X16, [verbose] aux_sample_size: U32,
        __reserved_3: X32, [verbose] sig_data: X64,
    }
}

/// What is counted, by the type of the event.
fn config(view: &View<'_>) -> Value {
    let value = view.number(0, W64).unwrap_or(0);
    let low = value & 0xffff_ffff;
    let mut out = Vec::new();
    let style = text::Style::default();
    let part = |out: &mut Vec<u8>, shift: u32, mask: u64| {
        let part = value >> shift & mask;
        if part != 0 {
            out.extend_from_slice(format!("{part:#x}<<{shift}|").as_bytes());
        }
    };
    match view.field("type") {
        Some(0) => {
            part(&mut out, 32, 0xffff_ffff);
            style.push(&mut out, &Value::One(low, &HARDWARE));
        }
        Some(1) => return Value::One(value, &SOFTWARE),
        Some(2) => return Value::Unsigned(value),
        Some(3) => {
            part(&mut out, 32, 0xffff_ffff);
            part(&mut out, 24, 0xff);
            style.push(&mut out, &Value::One(value >> 16 & 0xff, &CACHE_RESULTS));
            out.extend_from_slice(b"<<16|");
            style.push(&mut out, &Value::One(value >> 8 & 0xff, &CACHE_OPERATIONS));
            out.extend_from_slice(b"<<8|");
            style.push(&mut out, &Value::One(value & 0xff, &CACHES));
        }
        _ => return Value::Hex(value),
    }
    Value::Named(value, String::from_utf8_lossy(&out).into_owned().into())
}

fn breakpoint(view: &View<'_>) -> Value {
    let value = view.number(0, W32).unwrap_or(0);
    match value {
        5..=7 => Value::Comment(Value::Hex(value).into(), "HW_BREAKPOINT_INVALID".into()),
        _ => Value::One(value, &BREAKPOINTS),
    }
}

fn comment(fields: &mut Fields, name: &str, comment: &str) {
    fields.change(name, |value| Value::Comment(value.into(), comment.into()));
}

fn rename(fields: &mut Fields, from: &str, to: &'static str) {
    if let Some(field) = fields.fields.iter_mut().find(|field| field.name == from) {
        field.name = to;
    }
}

/// Names are those of the members of unions that count; what is behind the size that it
/// gives itself is not part of it.
fn arrange(fields: &mut Fields, view: &View<'_>) {
    let number = |fields: &Fields, name: &str| {
        let value = fields.get(name).and_then(Value::number);
        value.unwrap_or(0)
    };
    let size = view.field("size").unwrap_or(0);
    let size = match usize::try_from(size).unwrap_or(usize::MAX) {
        0 => LEAST,
        size => size,
    };
    if let Some((structure, _)) = view.outer {
        let is_known =
            |field: &&crate::decode::schema::Field| field.place(view.abi).bytes().end <= size;
        let known = structure.fields.iter().take_while(is_known).count();
        fields.fields.truncate(known);
    }
    let known = view.bytes.len();
    fields.more = size > MOST as usize || known < size;
    // Bits show that are set.
    let mut bits = false;
    for field in &mut fields.fields {
        bits |= field.name == "disabled";
        if field.name == "wakeup_events" {
            break;
        }
        if bits && field.name != "precise_ip" && field.name != "__reserved_1" {
            field.verbose = field.value.number() == Some(0);
        }
    }
    let skid = match number(fields, "precise_ip") {
        0 => "arbitrary skid",
        1 => "constant skid",
        2 => "requested to have 0 skid",
        _ => "must have 0 skid",
    };
    comment(fields, "precise_ip", skid);
    match number(fields, "__reserved_1") {
        0 => fields.remove("__reserved_1"),
        _ => comment(fields, "__reserved_1", "Bits 63..38"),
    }
    if number(fields, "freq") != 0 {
        rename(fields, "sample_period", "sample_freq");
    }
    if number(fields, "watermark") != 0 {
        rename(fields, "wakeup_events", "wakeup_watermark");
    }
    if number(fields, "type") == 5 {
        rename(fields, "config1", "bp_addr");
        rename(fields, "config2", "bp_len");
        fields.change("bp_len", |len| Value::Unsigned(len.number().unwrap_or(0)));
    } else {
        fields.remove("bp_type");
    }
    let samples = number(fields, "sample_type");
    if samples & 0x800 == 0 {
        fields.remove("branch_sample_type");
    }
    if samples & 0x2000 == 0 {
        fields.remove("sample_stack_user");
    }
    if number(fields, "use_clockid") == 0 {
        fields.remove("clockid");
    }
    for (reserved, before, bytes) in [
        ("__reserved_2", "sample_max_stack", "110..111"),
        ("__reserved_3", "aux_sample_size", "116..119"),
    ] {
        let value = number(fields, reserved);
        if value != 0 {
            comment(fields, before, &format!("bytes {bytes}: {value:#x}"));
        }
        fields.remove(reserved);
    }
}
