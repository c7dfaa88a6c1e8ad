//! What the descriptors and the tasks of a call are, beside their numbers.

use std::collections::BTreeSet;

use pai_plugin::decode::{Captured, Decoded, Descriptor, Value, When};
use pai_plugin::json::Object;

use crate::settings::Settings;

/// Adds `fds` and `tasks`, if they are wanted and something is known.
pub(super) fn push(
    mut object: Object,
    decoded: Option<&Decoded>,
    captured: &Captured<'_>,
    tid: u32,
    settings: &Settings,
) -> Object {
    let mut found = Found::default();
    if settings.limits.tasks {
        found.tasks.insert(tid.cast_signed());
    }
    if let Some(decoded) = decoded {
        let mut look = |value: &Value, when| found.look(value, when);
        for (place, arg) in decoded.args.iter().enumerate() {
            arg.value.visit(decoded.when(place), &mut look);
        }
        for value in decoded.ret.iter().chain(&decoded.note) {
            value.visit(When::Exit, &mut look);
        }
    }
    if settings.describes() {
        let all: BTreeSet<i32> = found.before.union(&found.after).copied().collect();
        let known = all.into_iter().flat_map(|fd| {
            let at = |side: &BTreeSet<i32>, when| {
                let known = side.contains(&fd).then(|| captured.descriptor(fd, when));
                known.flatten()
            };
            let before = at(&found.before, When::Enter);
            let after = at(&found.after, When::Exit).filter(|after| Some(*after) != before);
            let before = before.map(|of| descriptor(fd, &of, false));
            // Alone it is what the call has made.
            let changed = before.is_some();
            before
                .into_iter()
                .chain(after.map(|of| descriptor(fd, &of, changed)))
        });
        object = list(object, "fds", known);
    }
    if settings.limits.tasks {
        let known = found.tasks.iter().filter_map(|task| {
            let name = String::from_utf8_lossy(captured.task(*task)?);
            Some(Object::new().number("tid", *task).text("comm", &name).end())
        });
        object = list(object, "tasks", known);
    }
    object
}

fn list(object: Object, key: &str, items: impl Iterator<Item = String>) -> Object {
    let items: Vec<String> = items.collect();
    match items.is_empty() {
        true => object,
        false => object.json(key, &format!("[{}]", items.join(","))),
    }
}

/// Numbers of descriptors and of tasks, each once.
#[derive(Default)]
struct Found {
    /// Descriptors as they were when the call was made.
    before: BTreeSet<i32>,
    /// And when it had returned.
    after: BTreeSet<i32>,
    tasks: BTreeSet<i32>,
}

impl Found {
    fn look(&mut self, value: &Value, when: When) {
        let fds = match when {
            When::Enter => &mut self.before,
            When::Exit => &mut self.after,
        };
        fds.extend(value.descriptors());
        if let Value::Pid(task) = value {
            self.tasks.insert(*task);
        }
    }
}

/// A path, perhaps with a device; otherwise what `-y` shows, and, as far as it is one,
/// the socket or the process that it tells of. `changed`: it was another before the call.
fn descriptor(fd: i32, of: &Descriptor<'_>, changed: bool) -> String {
    let mut object = Object::new().number("fd", fd);
    if changed {
        object = object.flag("after", true);
    }
    if of.path.starts_with(b"/") {
        object = object.text("path", &String::from_utf8_lossy(of.path));
        if of.deleted {
            object = object.flag("deleted", true);
        }
        let device = std::str::from_utf8(of.details).ok().and_then(device);
        return match device {
            Some(device) => object.json("device", &device).end(),
            None => object.end(),
        };
    }
    let details = String::from_utf8_lossy(of.details);
    let own = of.socket_name.map(|own| {
        let own = match own.strip_prefix(b"\0") {
            // An abstract one (unix(7)).
            Some(own) => [b"@", own].concat(),
            None => own.to_vec(),
        };
        let own = String::from_utf8_lossy(&own);
        own.trim_end_matches('\0').to_owned()
    });
    let path = String::from_utf8_lossy(of.path);
    let name = match &own {
        Some(own) => format!("{path}{details},\"{own}\"]"),
        None => format!("{path}{details}"),
    };
    object = object.text("name", &name);
    if let Some(pid) = details
        .strip_prefix("pid:")
        .and_then(|pid| pid.parse().ok())
    {
        let pid: i32 = pid;
        return object.number("pid", pid).end();
    }
    match socket(&details, own.as_deref()) {
        Some(socket) => object.json("socket", &socket).end(),
        None => object.end(),
    }
}

/// `<char 1:3>`
fn device(details: &str) -> Option<String> {
    let device = details.strip_prefix('<')?.strip_suffix('>')?;
    let (kind, numbers) = device.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    let object = Object::new()
        .text("type", kind)
        .number("major", major)
        .number("minor", minor);
    matches!(kind, "char" | "block").then(|| object.end())
}

/// `TCP:[127.0.0.1:80->127.0.0.1:4000]`, or `UNIX:[7->8` and its name: the protocol, and
/// both ends as far as they are there.
fn socket(details: &str, own: Option<&str>) -> Option<String> {
    let (protocol, ends) = details.split_once(":[")?;
    let ends = match own {
        Some(_) => ends,
        None => ends.strip_suffix(']')?,
    };
    let (local, remote) = match ends.split_once("->") {
        Some((local, remote)) => (local, Some(remote)),
        None => (ends, None),
    };
    let mut object = Object::new()
        .text("protocol", protocol)
        .text("local", local);
    if let Some(remote) = remote {
        object = object.text("remote", remote);
    }
    if let Some(own) = own {
        object = object.text("name", own);
    }
    Some(object.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_what_they_refer_to() {
        let of = |path, details| Descriptor {
            path,
            details,
            ..Descriptor::default()
        };
        for (of, json) in [
            (
                of(b"/etc/pass>wd", b""),
                r#"{"fd":3,"path":"/etc/pass>wd"}"#,
            ),
            (
                of(b"/dev/null", b"<char 1:3>"),
                r#"{"fd":3,"path":"/dev/null","device":{"type":"char","major":1,"minor":3}}"#,
            ),
            (of(b"/a<b 1:3>", b""), r#"{"fd":3,"path":"/a<b 1:3>"}"#),
            (of(b"pipe:[71]", b""), r#"{"fd":3,"name":"pipe:[71]"}"#),
            (of(b"", b"pid:12"), r#"{"fd":3,"name":"pid:12","pid":12}"#),
            (
                of(b"", b"TCP:[127.0.0.1:80->127.0.0.1:4000]"),
                r#"{"fd":3,"name":"TCP:[127.0.0.1:80->127.0.0.1:4000]","socket":{"protocol":"TCP","local":"127.0.0.1:80","remote":"127.0.0.1:4000"}}"#,
            ),
            (
                of(b"", b"UDP:[71]"),
                r#"{"fd":3,"name":"UDP:[71]","socket":{"protocol":"UDP","local":"71"}}"#,
            ),
            (
                Descriptor {
                    socket_name: Some(b"\0abs"),
                    ..of(b"", b"UNIX:[7->8")
                },
                r#"{"fd":3,"name":"UNIX:[7->8,\"@abs\"]","socket":{"protocol":"UNIX","local":"7","remote":"8","name":"@abs"}}"#,
            ),
        ] {
            assert_eq!(descriptor(3, &of, false), json);
        }
        let deleted = Descriptor {
            deleted: true,
            ..of(b"/x", b"")
        };
        assert_eq!(
            descriptor(3, &deleted, true),
            r#"{"fd":3,"after":true,"path":"/x","deleted":true}"#
        );
    }
}
