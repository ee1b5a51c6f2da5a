//! An object of which one field is left as it is written: who has read the same text before need not read it again.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

/// Reads an object, and gives the text of the field of this name, unless it is `null`, beside the other fields.
///
/// # Errors
/// It is no object, or not JSON.
pub fn read<'b>(body: &'b [u8], name: &str) -> serde_json::Result<(Map<String, Value>, Option<&'b str>)> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let (fields, text) = reader.deserialize_map(Apart { name })?;
    reader.end()?;
    Ok((fields, text.filter(|text| *text != "null")))
}

struct Apart<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Apart<'_> {
    type Value = (Map<String, Value>, Option<&'de str>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut read, mut text) = (Map::new(), None);
        while let Some(name) = fields.next_key::<String>()? {
            // Of two with the same name the later one is meant, as everywhere.
            if name == self.name {
                text = Some(fields.next_value::<&RawValue>()?.get());
            } else {
                read.insert(name, fields.next_value()?);
            }
        }
        Ok((read, text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_field_stays_as_it_is_written() {
        let read = |body: &'static str| read(body.as_bytes(), "tools").unwrap();
        let (fields, text) = read(r#"{"a": 1, "tools" : [ {"b":2 } ] , "c": [null]}"#);
        assert_eq!((Value::Object(fields), text), (json!({"a": 1, "c": [null]}), Some(r#"[ {"b":2 } ]"#)));
        assert_eq!(read(r#"{"tools": null}"#), (Map::new(), None));
        assert_eq!(read(r#"{"tools": [1], "tools": [2]}"#).1, Some("[2]"));
        assert_eq!(read(r#"{"\u0074ools": [1]}"#).1, Some("[1]"), "a name is what it means");
        assert_eq!(read("{}"), (Map::new(), None));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in
            ["", "[]", "1", "{", r#"{"tools": }"#, r#"{"tools": [1}"#, r#"{"tools": [1]} x"#, r#"{"tools": "\x"}"#]
        {
            assert!(read(body.as_bytes(), "tools").is_err(), "{body}");
        }
    }
}
