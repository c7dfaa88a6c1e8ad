//! Devices: random(4), rtc(4), consoles (ioctl_console(2)), input, disks by SCSI commands,
//! flash memory, watchdogs.

use alloc::borrow::Cow;
use alloc::format;

use crate::decode::common::one_or_decimal;
use crate::decode::schema::{prelude::*, sets};

use super::arguments::arguments;
use super::requests::Parts;

sets! {
    /// linux/kd.h
    SCREENS "KD_???" { KD_TEXT = 0, KD_GRAPHICS = 1, KD_TEXT0 = 2, KD_TEXT1 = 3 }
    KEYBOARDS "KB_???" { KB_84 = 1, KB_101 = 2, KB_OTHER = 3 }
    KEY_MODES "K_???" as Decimal {
        K_RAW = 0, K_XLATE = 1, K_MEDIUMRAW = 2, K_UNICODE = 3, K_OFF = 4,
    }
    META_MODES "K_???" { K_METABIT = 3, K_ESCPREFIX = 4 }
    LIGHTS "LED_???" { LED_SCR = 1, LED_NUM = 2, LED_CAP = 4 }
    /// scsi/sg.h
    RESETS "SG_SCSI_RESET_???" {
        SG_SCSI_RESET_NOTHING = 0, SG_SCSI_RESET_DEVICE = 1, SG_SCSI_RESET_BUS = 2,
        SG_SCSI_RESET_HOST = 3, SG_SCSI_RESET_TARGET = 4,
    }
    /// mtd/mtd-abi.h
    MODES "MTD_FILE_MODE_???" {
        MTD_FILE_MODE_NORMAL = 0, MTD_FILE_MODE_OTP_FACTORY = 1, MTD_FILE_MODE_OTP_USER = 2,
        MTD_FILE_MODE_RAW = 3,
    }
    OTPS "MTD_OTP_???" { MTD_OTP_OFF = 0, MTD_OTP_FACTORY = 1, MTD_OTP_USER = 2 }
}

structs! {
    ENTROPY "rand_pool_info" { entropy_count: I32, buf_size: I32, buf: Special(entropy, 0) }
    RTC_TIME "rtc_time" {
        tm_sec: I32, tm_min: I32, tm_hour: I32, tm_mday: I32, tm_mon: I32, tm_year: I32,
        [verbose] tm_wday: I32, [verbose] tm_yday: I32, [verbose] tm_isdst: I32,
    }
    WAKE_ALARM "rtc_wkalrm" { enabled: U8, pending: U8, time: Struct(&RTC_TIME) }
    PLL "rtc_pll_info" {
        pll_ctrl: I32, pll_value: I32, pll_max: I32, pll_min: I32, pll_posmult: I32,
        pll_negmult: I32, pll_clock: LONG,
    }
    INPUT_ID "input_id" { bustype: U16, vendor: U16, product: U16, version: U16 }
    /// Of an axis.
    AXIS "input_absinfo" {
        value: I32, minimum: I32, [verbose] maximum: I32, [verbose] fuzz: I32,
        [verbose] flat: I32, [verbose] resolution: I32,
    }
    ERASE "erase_info_user" { start: X32, length: X32 }
    ERASE64 "erase_info_user64" { start: X64, length: X64 }
    OUT_OF_BAND "mtd_oob_buf" { start: X32, length: X32, ptr: ADDRESS }
    KEYCODE "kbkeycode" { scancode: X32, keycode: X32 }
    REPEAT "kbd_repeat" { delay: I32, period: I32 }
    RESIZE_VOLUME "ubi_rsvol_req" packed { bytes: I64, vol_id: I32 }
    ATTACH "ubi_attach_req" {
        ubi_num: I32, mtd_num: I32, vid_hdr_offset: I32, max_beb_per1024: I16, end: Pad(10),
    }
}

/// The argument of a request of input devices with a parameter: an axis, text, or bits.
pub(super) fn of_events(request: u32) -> Option<&'static Type> {
    let Parts { dir, ty, nr, .. } = Parts::of(request);
    match (ty, dir, nr) {
        (0x45, Parts::READ, 0x40..=0x7f) => Some(const { &To(Out, &Struct(&AXIS)) }),
        (0x45, Parts::WRITE, 0xc0..=0xff) => Some(const { &To(In, &Struct(&AXIS)) }),
        (0x45, Parts::READ | Parts::WRITE, _) => Some(&ADDRESS),
        _ => None,
    }
}

/// What the pool is given.
fn entropy(view: &View<'_>) -> Value {
    const MOST: usize = 32;
    let size = view.field("buf_size").unwrap_or(0);
    let len = usize::try_from(size).unwrap_or(MOST).min(MOST);
    let data = view.bytes.get(..len).unwrap_or(view.bytes);
    Value::Bytes(crate::decode::Bytes {
        data: data.into(),
        more: size > MOST as u64,
        whole: false,
        look: TEXT,
    })
}

/// Shown as a decimal number where it has no name.
fn key_mode(view: &View<'_>) -> Value {
    let value = (view.raw & 0xffff_ffff) as u32;
    one_or_decimal(value.cast_signed().into(), &KEY_MODES)
}

/// A signal, in a `long`.
fn accepted(view: &View<'_>) -> Value {
    match u32::try_from(view.raw) {
        Ok(number) if crate::signal::name(number).is_some() => Value::Signal(number),
        _ => Value::Unsigned(view.raw),
    }
}

/// A tone: its length and its period.
fn tone(view: &View<'_>) -> Value {
    let value = view.raw & 0xffff_ffff;
    let (ticks, length) = (value & 0xffff, value >> 16);
    Value::Named(
        view.raw,
        match (CLOCK.checked_div(ticks), length) {
            (Some(hertz), 1..) => Cow::Owned(format!(
                "{length}<<16|{ticks} /* {hertz} Hz, {length} ms */"
            )),
            _ => Cow::Owned(format!("{value} /* off */")),
        },
    )
}

/// Ticks per second (PIT_TICK_RATE in linux/timex.h).
const CLOCK: u64 = 1_193_182;

fn sound(view: &View<'_>) -> Value {
    let value = view.raw;
    let ticks = if value > 0xffff { 0 } else { value };
    Value::Named(
        value,
        match CLOCK.checked_div(ticks) {
            Some(hertz) => Cow::Owned(format!("{value} /* {hertz} Hz */")),
            None => Cow::Owned(format!("{value} /* off */")),
        },
    )
}

arguments! { ARGUMENTS
    RNDGETENTCNT: To(Out, &I32);
    RNDADDTOENTCNT: To(In, &I32);
    RNDADDENTROPY: Sized(In, Len::Fixed(8 + 32), &Struct(&ENTROPY));
    RNDZAPENTCNT RNDCLEARPOOL RNDRESEEDCRNG: Absent;

    RTC_ALM_READ RTC_RD_TIME: To(Out, &Struct(&RTC_TIME));
    RTC_ALM_SET RTC_SET_TIME: To(In, &Struct(&RTC_TIME));
    RTC_IRQP_READ RTC_EPOCH_READ: To(Out, &ULONG);
    RTC_IRQP_SET RTC_EPOCH_SET: ULONG;
    RTC_WKALM_RD: To(Out, &Struct(&WAKE_ALARM));
    RTC_WKALM_SET: To(In, &Struct(&WAKE_ALARM));
    RTC_PLL_GET: To(Out, &Struct(&PLL));
    RTC_PLL_SET: To(In, &Struct(&PLL));
    RTC_VL_READ: To(Out, &X32);
    RTC_AIE_ON RTC_AIE_OFF RTC_UIE_ON RTC_UIE_OFF RTC_PIE_ON RTC_PIE_OFF RTC_WIE_ON RTC_WIE_OFF
    RTC_VL_CLR: Absent;

    WDIOC_GETSTATUS WDIOC_GETBOOTSTATUS WDIOC_GETTEMP WDIOC_GETTIMEOUT WDIOC_GETPRETIMEOUT
    WDIOC_GETTIMELEFT: To(Out, &I32);
    WDIOC_SETTIMEOUT WDIOC_SETPRETIMEOUT: To(In, &I32);
    WDIOC_KEEPALIVE: Absent;

    KDGKBTYPE: To(Out, &Scalar(W8, Style::One(&KEYBOARDS)));
    KDGETMODE: To(Out, &one(&SCREENS));
    KDSETMODE: one(&SCREENS);
    KDSKBMODE: Special(key_mode, 0);
    KDGKBMODE: To(Out, &one(&KEY_MODES));
    KDSKBMETA: one(&META_MODES);
    KDGKBMETA: To(Out, &one(&META_MODES));
    KDGETLED: To(Out, &Scalar(W8, Style::Flags(&LIGHTS)));
    KDSETLED: Scalar(W8, Style::Flags(&LIGHTS));
    KDMKTONE: Special(tone, 0);
    KIOCSOUND: Special(sound, 0);
    KDENABIO KDDISABIO KDMAPDISP KDUNMAPDISP PIO_FONTRESET: Absent;
    KDGETKEYCODE KDSETKEYCODE: To(In, &Struct(&KEYCODE));
    KDKBDREP: To(In, &Struct(&REPEAT));
    KDSIGACCEPT: Special(accepted, 0);
    GIO_SCRNMAP PIO_SCRNMAP KDGKBENT KDSKBENT KDGKBSENT KDSKBSENT KDGKBDIACR KDSKBDIACR
    GIO_FONT PIO_FONT KDGKBLED GIO_UNIMAP PIO_UNIMAP PIO_UNIMAPCLR GIO_UNISCRNMAP
    PIO_UNISCRNMAP GIO_FONTX PIO_FONTX GIO_CMAP PIO_CMAP KDFONTOP KDGKBDIACRUC
    KDSKBDIACRUC: ADDRESS;

    EVIOCGVERSION: To(Out, &X32);
    EVIOCGID: To(Out, &Struct(&INPUT_ID));
    EVIOCGREP: To(Out, &Fixed(&U32, 2));
    EVIOCSREP: To(In, &Fixed(&U32, 2));
    EVIOCGEFFECTS: To(Out, &I32);
    EVIOCSCLOCKID: To(In, &I32);
    EVIOCRMFF: I32;
    EVIOCGRAB EVIOCREVOKE: ULONG;
    EVIOCGKEYCODE EVIOCSKEYCODE EVIOCGKEYCODE_V2 EVIOCSKEYCODE_V2 EVIOCSFF EVIOCGMASK
    EVIOCSMASK: ADDRESS;

    SG_EMULATED_HOST SG_GET_TRANSFORM SG_GET_COMMAND_Q SG_GET_RESERVED_SIZE SG_GET_LOW_DMA
    SG_GET_PACK_ID SG_GET_NUM_WAITING SG_GET_SG_TABLESIZE SG_GET_VERSION_NUM
    SG_GET_KEEP_ORPHAN: To(Out, &I32);
    SG_SET_TIMEOUT SG_SET_COMMAND_Q SG_SET_RESERVED_SIZE SG_SET_FORCE_LOW_DMA
    SG_SET_FORCE_PACK_ID SG_SET_DEBUG SG_NEXT_CMD_LEN SG_SET_KEEP_ORPHAN: To(In, &I32);
    SG_SCSI_RESET: To(In, &one(&RESETS));
    SG_GET_SCSI_ID SG_IO SG_GET_REQUEST_TABLE: ADDRESS;
    SG_GET_TIMEOUT: Absent;

    MEMERASE MEMLOCK MEMUNLOCK MEMISLOCKED: To(In, &Struct(&ERASE));
    MEMERASE64: To(In, &Struct(&ERASE64));
    MEMWRITEOOB MEMREADOOB: To(In, &Struct(&OUT_OF_BAND));
    MEMGETBADBLOCK MEMSETBADBLOCK: To(In, &U64);
    MEMGETREGIONCOUNT OTPGETREGIONCOUNT: To(Out, &I32);
    OTPSELECT: To(In, &one(&OTPS));
    MTDFILEMODE: long_one(&MODES);
    MEMGETINFO MEMGETREGIONINFO OTPGETREGIONINFO OTPLOCK MEMGETOOBSEL ECCGETLAYOUT ECCGETSTATS
    MEMWRITEOOB64 MEMREADOOB64 MEMWRITE: ADDRESS;

    UBI_IOCRMVOL UBI_IOCDET UBI_IOCEBER UBI_IOCEBUNMAP UBI_IOCEBISMAP UBI_IOCRPEB
    UBI_IOCSPEB: To(In, &I32);
    UBI_IOCVOLUP: To(In, &I64);
    UBI_IOCRSVOL: To(In, &Struct(&RESIZE_VOLUME));
    UBI_IOCATT: To(In, &Struct(&ATTACH));
    UBI_IOCVOLCRBLK UBI_IOCVOLRMBLK: Absent;
    UBI_IOCMKVOL UBI_IOCRNVOL UBI_IOCEBCH UBI_IOCEBMAP UBI_IOCSETVOLPROP: ADDRESS;

    KVM_CREATE_VCPU: I32;
    BTRFS_IOC_DEFRAG BTRFS_IOC_BALANCE BTRFS_IOC_TRANS_START BTRFS_IOC_TRANS_END BTRFS_IOC_SYNC
    BTRFS_IOC_SCRUB_CANCEL BTRFS_IOC_QUOTA_RESCAN_WAIT: Absent;
    COUNTER_ENABLE_EVENTS_IOCTL COUNTER_DISABLE_EVENTS_IOCTL: Absent;
}
