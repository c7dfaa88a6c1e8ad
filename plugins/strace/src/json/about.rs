//! What the descriptors and the tasks of a call are, beside their numbers.

use std::collections::BTreeMap;

use pai_plugin::decode::{Captured, Decoded, Fields, Value};
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
        found.tasks.insert(tid.cast_signed(), ());
    }
    if let Some(decoded) = decoded {
        let args = decoded.args.iter().map(|arg| &arg.value);
        for value in args.chain(&decoded.ret).chain(&decoded.note) {
            found.look(value);
        }
    }
    if settings.describes() {
        let known = found.fds.keys().filter_map(|fd| {
            let name = captured.descriptor(*fd)?;
            Some(descriptor(*fd, name))
        });
        object = list(object, "fds", known);
    }
    if settings.limits.tasks {
        let known = found.tasks.keys().filter_map(|task| {
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
    fds: BTreeMap<i32, ()>,
    tasks: BTreeMap<i32, ()>,
}

impl Found {
    fn look(&mut self, value: &Value) {
        match value {
            Value::Fd(fd) => {
                self.fds.insert(*fd, ());
            }
            Value::Descriptors(fds) => self.fds.extend(fds.iter().map(|fd| (*fd, ()))),
            Value::Pid(task) => {
                self.tasks.insert(*task, ());
            }
            Value::Struct(fields) | Value::Table(fields) | Value::List(fields) => {
                self.look_at_fields(fields);
            }
            Value::Array(items) | Value::Counted { items, .. } => {
                items.items.iter().for_each(|item| self.look(item));
            }
            Value::Call(_, args) => args.iter().for_each(|arg| self.look(arg)),
            Value::To { value, .. }
            | Value::Told(value, _)
            | Value::Comment(value, _)
            | Value::Titled(_, value) => self.look(value),
            Value::Changed { before, after, .. } => {
                self.look(before);
                self.look(after);
            }
            _ => {}
        }
    }

    fn look_at_fields(&mut self, fields: &Fields) {
        for field in &fields.fields {
            self.look(&field.value);
        }
    }
}

/// By what `-y` shows: a path, perhaps with a device; otherwise that text, and, as far
/// as it is one, the socket or the process that it tells of.
fn descriptor(fd: i32, name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let object = Object::new().number("fd", fd);
    if name.starts_with('/') {
        let Some((path, device)) = device(&name) else {
            return object.text("path", &name).end();
        };
        return object.text("path", path).json("device", &device).end();
    }
    let object = object.text("name", &name);
    if let Some(pid) = name.strip_prefix("pid:").and_then(|pid| pid.parse().ok()) {
        let pid: i32 = pid;
        return object.number("pid", pid).end();
    }
    match socket(&name) {
        Some(socket) => object.json("socket", &socket).end(),
        None => object.end(),
    }
}

/// `/dev/null<char 1:3>`
fn device(name: &str) -> Option<(&str, String)> {
    let (path, device) = name.strip_suffix('>')?.rsplit_once('<')?;
    let (kind, numbers) = device.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor) = (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?);
    let object = Object::new()
        .text("type", kind)
        .number("major", major)
        .number("minor", minor);
    matches!(kind, "char" | "block").then(|| (path, object.end()))
}

/// `TCP:[127.0.0.1:80->127.0.0.1:4000]`: its protocol, and both ends as far as they are
/// there. Protocols have capital letters, `socket:[1]` and `pipe:[1]` have not.
fn socket(name: &str) -> Option<String> {
    let (protocol, ends) = name.split_once(":[")?;
    let ends = ends.strip_suffix(']')?;
    if !protocol.starts_with(|first: char| first.is_ascii_uppercase()) {
        return None;
    }
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
    Some(object.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_what_they_refer_to() {
        for (name, json) in [
            ("/etc/pass>wd", r#"{"fd":3,"path":"/etc/pass>wd"}"#),
            (
                "/dev/null<char 1:3>",
                r#"{"fd":3,"path":"/dev/null","device":{"type":"char","major":1,"minor":3}}"#,
            ),
            ("/a<b 1:3>", r#"{"fd":3,"path":"/a<b 1:3>"}"#),
            ("pipe:[71]", r#"{"fd":3,"name":"pipe:[71]"}"#),
            ("pid:12", r#"{"fd":3,"name":"pid:12","pid":12}"#),
            (
                "TCP:[127.0.0.1:80->127.0.0.1:4000]",
                r#"{"fd":3,"name":"TCP:[127.0.0.1:80->127.0.0.1:4000]","socket":{"protocol":"TCP","local":"127.0.0.1:80","remote":"127.0.0.1:4000"}}"#,
            ),
            (
                "UDP:[71]",
                r#"{"fd":3,"name":"UDP:[71]","socket":{"protocol":"UDP","local":"71"}}"#,
            ),
        ] {
            assert_eq!(descriptor(3, name.as_bytes()), json);
        }
    }
}
