//! Terminals (ioctl_tty(2), asm-generic/termbits.h, asm-generic/termios.h).

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::schema::{prelude::*, sets};
use crate::decode::text;
use crate::decode::{Field, Fields};

use super::arguments::arguments;

sets! {
    /// What comes in.
    INPUT "" {
        IGNBRK = 0o1, BRKINT = 0o2, IGNPAR = 0o4, PARMRK = 0o10, INPCK = 0o20, ISTRIP = 0o40,
        INLCR = 0o100, IGNCR = 0o200, ICRNL = 0o400, IUCLC = 0o1000, IXON = 0o2000,
        IXANY = 0o4000, IXOFF = 0o10000, IMAXBEL = 0o20000, IUTF8 = 0o40000,
    }
    /// What goes out.
    OUTPUT "" {
        OPOST = 0o1, OLCUC = 0o2, ONLCR = 0o4, OCRNL = 0o10, ONOCR = 0o20, ONLRET = 0o40,
        OFILL = 0o100, OFDEL = 0o200,
    }
    NEWLINES "" { NL0 = 0, NL1 = 0o400 }
    RETURNS "" { CR0 = 0, CR1 = 0o1000, CR2 = 0o2000, CR3 = 0o3000 }
    TABS "" { TAB0 = 0, TAB1 = 0o4000, TAB2 = 0o10000, XTABS = 0o14000 }
    BACKSPACES "" { BS0 = 0, BS1 = 0o20000 }
    VERTICALS "" { VT0 = 0, VT1 = 0o40000 }
    FEEDS "" { FF0 = 0, FF1 = 0o100000 }
    /// The line.
    CONTROL "" {
        CSTOPB = 0o100, CREAD = 0o200, PARENB = 0o400, PARODD = 0o1000, HUPCL = 0o2000,
        CLOCAL = 0o4000, CMSPAR = 0o10000000000, CRTSCTS = 0o20000000000,
    }
    SIZES "" { CS5 = 0, CS6 = 0o20, CS7 = 0o40, CS8 = 0o60 }
    SPEEDS "B???" {
        B0 = 0, B50 = 1, B75 = 2, B110 = 3, B134 = 4, B150 = 5, B200 = 6, B300 = 7, B600 = 8,
        B1200 = 9, B1800 = 10, B2400 = 11, B4800 = 12, B9600 = 13, B19200 = 14, B38400 = 15,
        BOTHER = 0o10000, B57600 = 0o10001, B115200 = 0o10002, B230400 = 0o10003,
        B460800 = 0o10004, B500000 = 0o10005, B576000 = 0o10006, B921600 = 0o10007,
        B1000000 = 0o10010, B1152000 = 0o10011, B1500000 = 0o10012, B2000000 = 0o10013,
        B2500000 = 0o10014, B3000000 = 0o10015, B3500000 = 0o10016, B4000000 = 0o10017,
    }
    /// The rest.
    LOCAL "" {
        ISIG = 0o1, ICANON = 0o2, XCASE = 0o4, ECHO = 0o10, ECHOE = 0o20, ECHOK = 0o40,
        ECHONL = 0o100, NOFLSH = 0o200, IEXTEN = 0o100000, ECHOCTL = 0o1000, ECHOPRT = 0o2000,
        ECHOKE = 0o4000, FLUSHO = 0o10000, PENDIN = 0o40000, TOSTOP = 0o400, EXTPROC = 0o200000,
    }
    /// Line disciplines (linux/tty.h).
    DISCIPLINES "N_???" {
        N_TTY = 0, N_SLIP = 1, N_MOUSE = 2, N_PPP = 3, N_STRIP = 4, N_AX25 = 5, N_X25 = 6,
        N_6PACK = 7, N_MASC = 8, N_R3964 = 9, N_PROFIBUS_FDL = 10, N_IRDA = 11, N_SMSBLOCK = 12,
        N_HDLC = 13, N_SYNC_PPP = 14, N_HCI = 15, N_GIGASET_M101 = 16, N_SLCAN = 17, N_PPS = 18,
        N_V253 = 19, N_CAIF = 20, N_GSM0710 = 21, N_TI_WL = 22, N_TRACESINK = 23,
        N_TRACEROUTER = 24, N_NCI = 25, N_SPEAKUP = 26, N_NULL = 27,
    }
    /// Lines of a modem.
    MODEM "TIOCM_???" {
        TIOCM_LE = 1, TIOCM_DTR = 2, TIOCM_RTS = 4, TIOCM_ST = 8, TIOCM_SR = 0x10,
        TIOCM_CTS = 0x20, TIOCM_CAR = 0x40, TIOCM_RNG = 0x80, TIOCM_DSR = 0x100,
        TIOCM_OUT1 = 0x2000, TIOCM_OUT2 = 0x4000, TIOCM_LOOP = 0x8000,
    }
    FLOWS "TC???" { TCOOFF = 0, TCOON = 1, TCIOFF = 2, TCION = 3 }
    FLUSHES "TC???" { TCIFLUSH = 0, TCOFLUSH = 1, TCIOFLUSH = 2 }
}

/// Values in some of the bits.
type Parts<'p> = &'p [(u64, &'static Set)];

const OUTPUT_PARTS: Parts<'static> = &[
    (0o400, &NEWLINES),
    (0o3000, &RETURNS),
    (0o14000, &TABS),
    (0o20000, &BACKSPACES),
    (0o40000, &VERTICALS),
    (0o100_000, &FEEDS),
];
const SPEED: u64 = 0o10017;
const SIZE_MASK: u64 = 0o60;
/// The other speed is so many bits further up.
const IBSHIFT: u32 = 16;

/// Bits as names, joined to what is there; nothing if there are none.
fn push_bits(out: &mut String, bits: u64, set: &'static Set) {
    if bits != 0 {
        let mut text = Vec::new();
        text::Style::default().push(&mut text, &Value::Flags(bits, set));
        out.push_str(&String::from_utf8_lossy(&text));
    }
}

fn take_parts(out: &mut Vec<Value>, bits: &mut u64, parts: Parts<'_>) {
    for (mask, set) in parts {
        let value = *bits & mask;
        let name = set.name(value).unwrap_or(set.unknown);
        out.push(Value::Named(value, Cow::Borrowed(name)));
        *bits &= !mask;
    }
}

/// The bits that are left, which may be none.
fn rest(bits: u64, set: &'static Set) -> Value {
    match bits {
        0 => Value::Plain(Cow::Borrowed("")),
        bits => Value::Flags(bits, set),
    }
}

/// All of the field, whatever its width.
fn bits(view: &View<'_>) -> u64 {
    let bytes = view.bytes.iter().take(4).rev();
    bytes.fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

fn named(bits: u64, text: String) -> Value {
    Value::Named(bits, Cow::Owned(text))
}

fn input(view: &View<'_>) -> Value {
    let mut text = String::new();
    push_bits(&mut text, bits(view), &INPUT);
    named(bits(view), text)
}

fn output(view: &View<'_>) -> Value {
    let mut parts = Vec::new();
    let mut left = bits(view);
    take_parts(&mut parts, &mut left, OUTPUT_PARTS);
    parts.push(rest(left, &OUTPUT));
    Value::Parts(bits(view), parts)
}

fn control(view: &View<'_>) -> Value {
    let mut parts = Vec::new();
    let mut left = bits(view);
    take_parts(&mut parts, &mut left, &[(SPEED, &SPEEDS)]);
    let other = left >> IBSHIFT & SPEED;
    if other != 0 {
        let name = SPEEDS.name(other).unwrap_or(SPEEDS.unknown);
        let name = Cow::Owned(format!("{name}<<IBSHIFT"));
        parts.push(Value::Named(other << IBSHIFT, name));
        left &= !(SPEED << IBSHIFT);
    }
    take_parts(&mut parts, &mut left, &[(SIZE_MASK, &SIZES)]);
    parts.push(rest(left, &CONTROL));
    Value::Parts(bits(view), parts)
}

fn local(view: &View<'_>) -> Value {
    let mut text = String::new();
    push_bits(&mut text, bits(view), &LOCAL);
    named(bits(view), text)
}

/// Control characters by their places.
fn characters(view: &View<'_>) -> Value {
    const NAMES: [&str; 19] = [
        "VINTR", "VQUIT", "VERASE", "VKILL", "VEOF", "VTIME", "VMIN", "VSWTC", "VSTART", "VSTOP",
        "VSUSP", "VEOL", "VREPRINT", "VDISCARD", "VWERASE", "VLNEXT", "VEOL2", "17", "18",
    ];
    let field = |(name, byte): (&&'static str, &u8)| Field {
        name,
        value: Value::Hex((*byte).into()),
        verbose: false,
    };
    Value::Table(Fields {
        fields: NAMES.iter().zip(view.bytes).map(field).collect(),
        more: false,
    })
}

const DISCIPLINE: Type = Scalar(W8, Style::One(&DISCIPLINES));

structs! {
    TERMIOS "termios" {
        c_iflag: Special(input, 4), c_oflag: Special(output, 4), c_cflag: Special(control, 4),
        c_lflag: Special(local, 4), [verbose] c_line: DISCIPLINE,
        [verbose] c_cc: Special(characters, 19),
    }
    TERMIOS2 "termios2" {
        c_iflag: Special(input, 4), c_oflag: Special(output, 4), c_cflag: Special(control, 4),
        c_lflag: Special(local, 4), [verbose] c_line: DISCIPLINE,
        [verbose] c_cc: Special(characters, 19), [verbose] c_ispeed: U32,
        [verbose] c_ospeed: U32,
    }
    TERMIO "termio" {
        c_iflag: Special(input, 2), c_oflag: Special(output, 2), c_cflag: Special(control, 2),
        c_lflag: Special(local, 2), [verbose] c_line: DISCIPLINE,
        [verbose] c_cc: Special(characters, 8), end: Pad(1),
    }
    WINSIZE "winsize" { ws_row: U16, ws_col: U16, ws_xpixel: U16, ws_ypixel: U16 }
}

arguments! { ARGUMENTS
    TCGETS TIOCGLCKTRMIOS: To(Out, &Struct(&TERMIOS));
    TCSETS TCSETSW TCSETSF TIOCSLCKTRMIOS: To(In, &Struct(&TERMIOS));
    TCGETS2: To(Out, &Struct(&TERMIOS2));
    TCSETS2 TCSETSW2 TCSETSF2: To(In, &Struct(&TERMIOS2));
    TCGETA: To(Out, &Struct(&TERMIO));
    TCSETA TCSETAW TCSETAF: To(In, &Struct(&TERMIO));
    TIOCGWINSZ: To(Out, &Struct(&WINSIZE));
    TIOCSWINSZ: To(In, &Struct(&WINSIZE));
    TIOCGPGRP TIOCGSID: To(Out, &PID);
    TIOCSPGRP: To(In, &PID);
    TIOCSTI: Bytes(In, Len::Fixed(1), TEXT);
    TIOCMGET: To(Out, &flags(&MODEM));
    TIOCMBIS TIOCMBIC TIOCMSET: To(In, &flags(&MODEM));
    TIOCGSOFTCAR TIOCOUTQ FIONREAD TIOCGETD TIOCGPTN TIOCGEXCL TIOCGDEV: To(Out, &I32);
    TIOCSSOFTCAR TIOCPKT FIONBIO FIOASYNC TIOCSETD TIOCSPTLCK: To(In, &I32);
    TCSBRK TCSBRKP TIOCSCTTY: I32;
    TCXONC: long_one(&FLOWS);
    TCFLSH: long_one(&FLUSHES);
    TIOCEXCL TIOCNXCL TIOCCONS TIOCSSERIAL TIOCNOTTY TIOCSBRK TIOCCBRK TIOCVHANGUP FIONCLEX
    FIOCLEX: Absent;
}
