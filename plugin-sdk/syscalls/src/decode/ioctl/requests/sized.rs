//! Requests with a parameter: their number tells it, or a length.

use alloc::format;
use alloc::string::String;

use super::Parts;
use crate::decode::schema::{Set, sets};

sets! {
    /// Types of events (linux/input-event-codes.h).
    EVENTS "EV_???" {
        EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_MSC = 4, EV_SW = 5, EV_LED = 0x11, EV_SND = 0x12,
        EV_REP = 0x14, EV_FF = 0x15, EV_PWR = 0x16, EV_FF_STATUS = 0x17,
    }
    /// Axes (linux/input-event-codes.h).
    AXES "ABS_???" {
        ABS_X = 0, ABS_Y = 1, ABS_Z = 2, ABS_RX = 3, ABS_RY = 4, ABS_RZ = 5, ABS_THROTTLE = 6,
        ABS_RUDDER = 7, ABS_WHEEL = 8, ABS_GAS = 9, ABS_BRAKE = 0xa, ABS_HAT0X = 0x10,
        ABS_HAT0Y = 0x11, ABS_HAT1X = 0x12, ABS_HAT1Y = 0x13, ABS_HAT2X = 0x14,
        ABS_HAT2Y = 0x15, ABS_HAT3X = 0x16, ABS_HAT3Y = 0x17, ABS_PRESSURE = 0x18,
        ABS_DISTANCE = 0x19, ABS_TILT_X = 0x1a, ABS_TILT_Y = 0x1b, ABS_TOOL_WIDTH = 0x1c,
        ABS_VOLUME = 0x20, ABS_PROFILE = 0x21, ABS_MISC = 0x28, ABS_RESERVED = 0x2e,
        ABS_MT_SLOT = 0x2f, ABS_MT_TOUCH_MAJOR = 0x30, ABS_MT_TOUCH_MINOR = 0x31,
        ABS_MT_WIDTH_MAJOR = 0x32, ABS_MT_WIDTH_MINOR = 0x33, ABS_MT_ORIENTATION = 0x34,
        ABS_MT_POSITION_X = 0x35, ABS_MT_POSITION_Y = 0x36, ABS_MT_TOOL_TYPE = 0x37,
        ABS_MT_BLOB_ID = 0x38, ABS_MT_TRACKING_ID = 0x39, ABS_MT_PRESSURE = 0x3a,
        ABS_MT_DISTANCE = 0x3b, ABS_MT_TOOL_X = 0x3c, ABS_MT_TOOL_Y = 0x3d,
    }
}

const READ: u32 = Parts::READ;
const WRITE: u32 = Parts::WRITE;
const BOTH: u32 = READ | WRITE;

/// The words for a request with a parameter.
pub(super) fn name(request: u32) -> Option<String> {
    let Parts { dir, ty, nr, size } = Parts::of(request);
    if request_of_events(dir, ty, nr) {
        return Some(events(dir, nr, size));
    }
    let name = match (ty, dir, nr) {
        // linux/soundcard.h
        (0x4d, READ, _) => return Some(format!("MIXER_READ({nr})")),
        (0x4d, WRITE, _) => return Some(format!("MIXER_WRITE({nr})")),
        // linux/hidraw.h, linux/hiddev.h
        (0x48, READ, 0x04) => "HIDIOCGRAWNAME",
        (0x48, READ, 0x05) => "HIDIOCGRAWPHYS",
        (0x48, READ, 0x08) => "HIDIOCGRAWUNIQ",
        (0x48, READ, 0x12) => "HIDIOCGPHYS",
        (0x48, BOTH, 0x06) => "HIDIOCSFEATURE",
        (0x48, BOTH, 0x07) => "HIDIOCGFEATURE",
        // linux/uinput.h, linux/joystick.h, linux/spi/spidev.h
        (0x55, READ, 0x2c) => "UI_GET_SYSNAME",
        (0x6a, READ, 0x13) => "JSIOCGNAME",
        (0x6b, WRITE, 0) => "SPI_IOC_MESSAGE",
        _ => return None,
    };
    Some(format!("{name}({size})"))
}

fn request_of_events(dir: u32, ty: u32, nr: u32) -> bool {
    ty == 0x45
        && match dir {
            READ => matches!(nr, 0x06..=0x0a | 0x18..=0x1b | 0x20..=0x7f),
            WRITE => matches!(nr, 0xc0..=0xff),
            _ => false,
        }
}

/// linux/input.h
fn events(dir: u32, nr: u32, size: u32) -> String {
    let plain = match nr {
        0x06 => "EVIOCGNAME",
        0x07 => "EVIOCGPHYS",
        0x08 => "EVIOCGUNIQ",
        0x09 => "EVIOCGPROP",
        0x0a => "EVIOCGMTSLOTS",
        0x18 => "EVIOCGKEY",
        0x19 => "EVIOCGLED",
        0x1a => "EVIOCGSND",
        0x1b => "EVIOCGSW",
        0x20..=0x3f => return format!("EVIOCGBIT({}, {size})", one(&EVENTS, nr & 0x1f)),
        _ if dir == READ => return format!("EVIOCGABS({})", one(&AXES, nr & 0x3f)),
        _ => return format!("EVIOCSABS({})", one(&AXES, nr & 0x3f)),
    };
    format!("{plain}({size})")
}

fn one(set: &Set, value: u32) -> String {
    match set.name(value.into()) {
        Some(name) => String::from(name),
        None if value == 0 => String::from("0"),
        None => format!("{value:#x} /* {} */", set.unknown),
    }
}
