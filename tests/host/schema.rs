//! As much of JSON Schema (json-schema.org, draft 2020-12) as docs/*.schema.json use.

use serde_json::{Map, Value};

/// A schema.
pub(crate) struct Schema(Value);

/// Where something does not fit, and what was wanted there.
type Misfit = String;

impl Schema {
    /// Of a file in docs/.
    #[track_caller]
    pub(crate) fn new(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("JSON"))
    }

    /// Panics unless this fits.
    #[track_caller]
    pub(crate) fn assert_fits(&self, value: &Value) {
        if let Err(why) = self.fits(&self.0, value) {
            panic!("{why}: {value}");
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<(), Misfit> {
        let schema = schema.as_object().expect("a schema is an object");
        for (keyword, wanted) in schema {
            let misfit = || Err(format!("{value} is not {keyword} {wanted}"));
            let fits = match keyword.as_str() {
                "$schema" | "$defs" | "title" | "description" => true,
                "$ref" => return_if_not(self.fits(self.definition(wanted), value))?,
                "const" => value == wanted,
                "type" => has_type(value, wanted.as_str().expect("one type")),
                "minimum" => integer(value).is_none_or(|n| n >= integer(wanted).expect("one")),
                "maximum" => integer(value).is_none_or(|n| n <= integer(wanted).expect("one")),
                "pattern" => value
                    .as_str()
                    .is_none_or(|text| matches(text, wanted.as_str().expect("one"))),
                "required" => value.as_object().is_none_or(|object| {
                    let mut keys = wanted.as_array().expect("keys").iter();
                    keys.all(|key| object.contains_key(key.as_str().expect("a key")))
                }),
                "properties" => {
                    let wanted = wanted.as_object().expect("properties");
                    let object = value.as_object().into_iter().flatten();
                    for (key, value) in object {
                        if let Some(schema) = wanted.get(key) {
                            self.fits(schema, value)?;
                        }
                    }
                    true
                }
                "additionalProperties" => self.others_fit(schema, wanted, value)?,
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.fits(wanted, item)?;
                    }
                    true
                }
                "anyOf" => {
                    let mut schemas = wanted.as_array().expect("schemas").iter();
                    schemas.any(|schema| self.fits(schema, value).is_ok())
                }
                other => panic!("who knows {other:?}?"),
            };
            if !fits {
                return misfit();
            }
        }
        Ok(())
    }

    /// Keys that `properties` does not name.
    fn others_fit(
        &self,
        schema: &Map<String, Value>,
        wanted: &Value,
        value: &Value,
    ) -> Result<bool, Misfit> {
        let named = |key| {
            schema
                .get("properties")
                .is_some_and(|named| !named[key].is_null())
        };
        let object = value.as_object().into_iter().flatten();
        for (key, value) in object.filter(|(key, _)| !named(key.as_str())) {
            match wanted {
                Value::Bool(false) => return Err(format!("{key} is not known")),
                schema => self.fits(schema, value)?,
            }
        }
        Ok(true)
    }

    fn definition(&self, reference: &Value) -> &Value {
        let name = reference.as_str().and_then(|path| path.strip_prefix('#'));
        let found = name.and_then(|name| self.0.pointer(name));
        found.unwrap_or_else(|| panic!("there is no {reference}"))
    }
}

fn return_if_not(fits: Result<(), Misfit>) -> Result<bool, Misfit> {
    fits.map(|()| true)
}

fn integer(value: &Value) -> Option<i128> {
    let unsigned = value.as_u64().map(i128::from);
    unsigned.or_else(|| value.as_i64().map(i128::from))
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "integer" => integer(value).is_some(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("who knows the type {other:?}?"),
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    let digits = |text: &str| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.bytes().all(digit)
    };
    match pattern {
        "^-?0x[0-9a-f]+$" => {
            let text = text.strip_prefix('-').unwrap_or(text);
            let number = text.strip_prefix("0x");
            number.is_some_and(|number| !number.is_empty() && digits(number))
        }
        "^([0-9a-f]{2})*$" => digits(text) && text.len().is_multiple_of(2),
        other => panic!("who knows the pattern {other:?}?"),
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = Schema::new(
        r##"{
            "type": "object", "required": ["a"], "additionalProperties": { "type": "boolean" },
            "properties": { "a": { "$ref": "#/$defs/a" } },
            "$defs": { "a": { "anyOf": [{ "type": "integer", "minimum": 1 },
                { "type": "array", "items": { "pattern": "^-?0x[0-9a-f]+$" } }] } }
        }"##,
    );
    for (text, fits) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":["0x1f","-0x2"],"b":true}"#, true),
        (r#"{"a":0}"#, false),
        (r#"{"a":1.5}"#, false),
        (r#"{"a":["0xg"]}"#, false),
        (r#"{"a":["0x"]}"#, false),
        (r#"{"a":1,"b":2}"#, false),
        (r#"{}"#, false),
        ("[]", false),
    ] {
        let value: Value = serde_json::from_str(text).expect(text);
        assert_eq!(schema.fits(&schema.0, &value).is_ok(), fits, "{text}");
    }
}
