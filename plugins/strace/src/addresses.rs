//! Calls without what their structures hold (`-e verbose=`): where these are.

use pai_plugin::decode::schema::Look;
use pai_plugin::decode::{Bytes, Captured, Decoded, Value, When};

/// Texts and buffers stay, of which at most so many bytes show.
pub(crate) fn instead(decoded: &mut Decoded, captured: &Captured<'_>, text: usize) {
    if decoded.call.name == "sendto" {
        buffer_again(decoded, captured, text);
    }
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

/// What is sent is a buffer, be it that it can be taken apart.
fn buffer_again(decoded: &mut Decoded, captured: &Captured<'_>, text: usize) {
    let [_, buffer, len, ..] = decoded.args.as_mut_slice() else {
        return;
    };
    let is_apart = matches!(&buffer.value, Value::To { value, .. } if value.bytes().is_none());
    if !is_apart {
        return;
    }
    let whole = usize::try_from(len.raw).unwrap_or(usize::MAX);
    let data = captured
        .get(When::Enter, buffer.raw, whole.min(text))
        .to_vec();
    buffer.value = Value::To {
        addr: buffer.raw,
        value: Box::new(Value::Bytes(Bytes {
            more: data.len() < whole,
            data,
            whole: false,
            look: Look::Text,
        })),
    };
}

/// Where it is, if that is to be shown instead.
fn place(value: &Value) -> Option<u64> {
    match value {
        Value::To { addr, value } => match &**value {
            Value::Bytes(_) => None,
            // Of nothing there is nothing to show.
            Value::Array(items) if items.items.is_empty() && items.more.is_none() => None,
            _ => Some(*addr),
        },
        Value::Changed { addr, .. } if *addr != 0 => Some(*addr),
        Value::Counted { addr, .. } => Some(*addr),
        _ => None,
    }
}
