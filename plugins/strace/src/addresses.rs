//! Calls without what their structures hold (`-e verbose=`): where these are.

use pai_plugin::decode::{Decoded, Value};

/// Texts and buffers stay.
pub(crate) fn instead(decoded: &mut Decoded) {
    for arg in &mut decoded.args {
        if let Some(addr) = place(&arg.value) {
            arg.value = Value::Address(addr);
        }
    }
    let timeout = decoded.args.iter();
    let mut timeout = timeout.filter(|arg| matches!(arg.name, "tsp" | "tvp"));
    let timeout = timeout.next().map_or(0, |arg| arg.raw);
    match &mut decoded.note {
        Some(Value::Array(_)) => decoded.note = None,
        Some(Value::List(parts)) => {
            parts.fields.retain(|part| !part.name.is_empty());
            // What is left of the time is in the place of the time.
            for part in &mut parts.fields {
                if matches!(part.value, Value::Struct(_)) {
                    part.value = Value::Address(timeout);
                }
            }
            if parts.fields.is_empty() {
                decoded.note = None;
            }
        }
        _ => {}
    }
}

/// Where it is, if that is to be shown instead.
fn place(value: &Value) -> Option<u64> {
    match value {
        Value::To { addr, value } if !matches!(**value, Value::Bytes(_)) => Some(*addr),
        Value::Changed { addr, .. } if *addr != 0 => Some(*addr),
        Value::Counted { addr, .. } => Some(*addr),
        _ => None,
    }
}
