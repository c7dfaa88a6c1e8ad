//! JSON objects for [`output::emit`](crate::output::emit), without a library.

use crate::output::push_json_string;

/// One object, written key by key.
///
/// ```
/// use pai_plugin::json::Object;
///
/// let object = Object::new()
///     .number("pid", 7_u32)
///     .text("name", "a \"b\"")
///     .texts("args", ["-l", "/"])
///     .flag("ok", true);
/// assert_eq!(
///     object.end(),
///     r#"{"pid":7,"name":"a \"b\"","args":["-l","/"],"ok":true}"#
/// );
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Object(String);

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// One without keys.
    pub fn new() -> Self {
        Self(String::from("{"))
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_json_string(&mut self.0, key);
        self.0.push(':');
    }

    /// A whole number. Readers that have only floating point lose digits above
    /// 2^53: addresses are better texts.
    pub fn number(mut self, key: &str, value: impl Into<i128>) -> Self {
        self.key(key);
        self.0.push_str(&value.into().to_string());
        self
    }

    /// `true` or `false`.
    pub fn flag(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.0.push_str(if value { "true" } else { "false" });
        self
    }

    /// A text, escaped.
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        push_json_string(&mut self.0, value);
        self
    }

    /// A list of texts.
    pub fn texts<T: AsRef<str>>(mut self, key: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.key(key);
        self.0.push('[');
        for (i, value) in values.into_iter().enumerate() {
            if i > 0 {
                self.0.push(',');
            }
            push_json_string(&mut self.0, value.as_ref());
        }
        self.0.push(']');
        self
    }

    /// What is JSON already.
    pub fn json(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    /// A decoded value, in the form of [`decode::json`](crate::decode::json).
    #[cfg(feature = "syscalls")]
    pub fn value(mut self, key: &str, value: &crate::decode::Value) -> Self {
        self.key(key);
        crate::decode::json::push(&mut self.0, value);
        self
    }

    /// The finished text.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "syscalls")]
    #[test]
    fn values_are_json() {
        let object = Object::new()
            .value("fd", &crate::decode::Value::Fd(3))
            .json("list", "[1,2]");
        assert_eq!(object.end(), r#"{"fd":3,"list":[1,2]}"#);
    }

    #[test]
    fn empty_and_extreme() {
        assert_eq!(Object::new().end(), "{}");
        let object = Object::new()
            .number("most", u64::MAX)
            .number("least", i64::MIN)
            .texts::<&str>("none", []);
        assert_eq!(
            object.end(),
            r#"{"most":18446744073709551615,"least":-9223372036854775808,"none":[]}"#
        );
    }
}
