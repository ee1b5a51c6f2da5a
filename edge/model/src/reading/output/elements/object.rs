//! Elements as the JSON object that they are by a schema.

use std::collections::HashMap;
use std::ptr;

use serde_json::{Map, Value};

use super::super::arguments::{quoted, typed};
use super::super::tools::{Container, Looks, Types};

/// How deep elements may stand in each other.
const MOST_DEPTH: usize = 64;

/// The member for text that stands among elements.
const AMONG: &str = "$text";

/// The object of these elements, up to the first that is broken or not complete.
pub(super) fn of(elements: &str, mark: &str, schema: &Map<String, Value>) -> String {
    let mut writing = Writing::into(schema);
    writing.object(&children(&mut &*elements, mark, 0).members, "", Some(schema));
    writing.out
}

/// What stands in an element, or in a call.
#[derive(Debug, Default)]
struct Inside<'t> {
    text: String,
    members: Vec<(&'t str, Inside<'t>)>,
}

/// Reads up to the first tag that begins none, and leaves the text there.
fn children<'t>(text: &mut &'t str, mark: &str, depth: usize) -> Inside<'t> {
    let mut inside = Inside::default();
    while let Some((before, tag)) = text.split_once(mark) {
        let open = tag.strip_prefix('<').filter(|name| !name.starts_with('/') && depth < MOST_DEPTH);
        let Some((name, rest)) = open.and_then(|open| open.split_once('>')) else {
            inside.text.push_str(before);
            *text = &text[before.len()..];
            return inside;
        };
        let mut rest = rest;
        let child = children(&mut rest, mark, depth + 1);
        let end =
            rest.strip_prefix(mark).and_then(|rest| rest.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>'));
        let Some(end) = end else { return inside };
        inside.text.push_str(before);
        inside.members.push((name, child));
        *text = end;
    }
    inside.text.push_str(text);
    *text = "";
    inside
}

/// Writes elements as JSON.
struct Writing<'s> {
    looks: Looks<'s>,
    /// What was found of schemas, by where they are: a list has one for all that stands in it.
    looked: HashMap<*const Value, Looked<'s>>,
    out: String,
}

/// What a schema says of a value.
#[derive(Debug, Clone, Copy)]
struct Looked<'s> {
    types: Types,
    container: Option<(Container, &'s Map<String, Value>)>,
}

impl<'s> Writing<'s> {
    fn into(schema: &'s Map<String, Value>) -> Self {
        Self { looks: Looks::into(schema), looked: HashMap::new(), out: String::new() }
    }

    /// Where nothing is said of it, it is a string.
    fn look(&mut self, schema: Option<&'s Value>) -> Looked<'s> {
        let Some(schema) = schema else { return Looked { types: Types::STRING, container: None } };
        let looks = &mut self.looks;
        let look = || Looked { types: looks.of(schema), container: looks.container(schema) };
        *self.looked.entry(ptr::from_ref(schema)).or_insert_with(look)
    }

    /// What is repeated is a list.
    fn object(&mut self, members: &[(&str, Inside<'_>)], among: &str, schema: Option<&'s Map<String, Value>>) {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut named: Vec<(&str, Vec<&Inside<'_>>)> = Vec::new();
        for (name, inside) in members {
            let place = *places.entry(name).or_insert(named.len());
            match named.get_mut(place) {
                Some((_, all)) => all.push(inside),
                None => named.push((name, vec![inside])),
            }
        }
        self.out.push('{');
        for (number, (name, all)) in named.iter().enumerate() {
            self.name(number, name);
            let of_name = |schema: &'s Map<String, Value>| {
                let declared = schema.get("properties").and_then(|properties| properties.get(name));
                declared.or(schema.get("additionalProperties"))
            };
            let schema = schema.and_then(of_name).filter(|schema| schema.is_object());
            match all[..] {
                [one] => self.value(one, schema),
                _ => self.list(all.iter().copied(), schema),
            }
        }
        if !among.trim().is_empty() && !places.contains_key(AMONG) {
            self.name(named.len(), AMONG);
            self.out.push_str(&quoted(among));
        }
        self.out.push('}');
    }

    fn name(&mut self, number: usize, name: &str) {
        self.out.push_str(if number == 0 { "" } else { ", " });
        self.out.push_str(&quoted(name));
        self.out.push_str(": ");
    }

    fn list<'i, 't: 'i>(&mut self, all: impl Iterator<Item = &'i Inside<'t>>, schema: Option<&'s Value>) {
        self.out.push('[');
        for (number, inside) in all.enumerate() {
            self.out.push_str(if number == 0 { "" } else { ", " });
            self.value(inside, schema);
        }
        self.out.push(']');
    }

    fn value(&mut self, inside: &Inside<'_>, schema: Option<&'s Value>) {
        let Looked { types, container } = self.look(schema);
        if !inside.members.is_empty() {
            return match container {
                Some((Container::Array, schema)) => {
                    self.list(inside.members.iter().map(|(_, inside)| inside), schema.get("items"));
                }
                Some((Container::Object, schema)) => self.object(&inside.members, &inside.text, Some(schema)),
                None => self.object(&inside.members, &inside.text, None),
            };
        }
        let empty = inside.text.trim().is_empty() && !types.has(Types::STRING);
        match container {
            Some((Container::Array, _)) if empty => self.out.push_str("[]"),
            Some((Container::Object, _)) if empty => self.out.push_str("{}"),
            _ => self.out.push_str(&typed(&inside.text, types)),
        }
    }
}
