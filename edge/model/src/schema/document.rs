//! The client's schema as a document: its parts by number, and where references lead.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::budget::{MAX_DEPTH, MAX_TEXT, MAX_VALUES};
use super::error::{SchemaError, below};
use super::uri;

/// How the keywords are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    /// Drafts 6 and 7: what stands next to `$ref` is ignored.
    Seven,
    /// 2019-09: tuples are written as in draft 7.
    Nineteen,
    /// 2020-12, and whatever names no draft.
    Twenty,
}

/// One schema inside the document.
#[derive(Debug, Clone)]
pub(super) struct Part<'s> {
    pub(super) value: &'s Value,
    pub(super) draft: Draft,
    /// The part that this one is in, and the JSON pointer from there.
    place: Option<(usize, String)>,
    /// The URI that references inside are relative to.
    base: Rc<str>,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Document<'s> {
    parts: Vec<Part<'s>>,
    numbers: HashMap<usize, usize>,
    /// Part numbers by URI, and by URI and anchor.
    resources: HashMap<String, usize>,
    anchors: HashMap<(String, String), usize>,
    /// How often each dynamic anchor's name occurs.
    dynamic: HashMap<String, usize>,
}

/// Keywords whose value is one schema.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose value is a list of schemas.
const LIST: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];

/// Keywords whose value is a map of schemas.
const MAP: [&str; 6] = ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

impl<'s> Document<'s> {
    pub(super) fn read(schema: &'s Value) -> Result<Self, SchemaError> {
        check_size(schema)?;
        let mut document = Self {
            parts: Vec::new(),
            numbers: HashMap::new(),
            resources: HashMap::new(),
            anchors: HashMap::new(),
            dynamic: HashMap::new(),
        };
        let root = Part { value: schema, draft: Draft::Twenty, place: None, base: "".into() };
        document.index(root)?;
        document.resources.insert(String::new(), 0);
        document.check_references()?;
        Ok(document)
    }

    pub(super) fn part(&self, number: usize) -> &Part<'s> {
        &self.parts[number]
    }

    /// Where a part is, as a JSON pointer. Not kept: many long ones would take more memory than the schema.
    pub(super) fn path(&self, mut number: usize) -> String {
        let mut steps = Vec::new();
        while let Some((parent, step)) = &self.parts[number].place {
            steps.push(step.as_str());
            number = *parent;
        }
        steps.reverse();
        steps.concat()
    }

    /// The number of a schema below a part, which the pointer `way` leads to.
    pub(super) fn child(&mut self, number: usize, value: &'s Value, way: String) -> Result<usize, SchemaError> {
        match self.numbers.get(&std::ptr::from_ref(value).addr()) {
            Some(known) => Ok(*known),
            None => {
                let Part { draft, base, .. } = self.parts[number].clone();
                self.index(Part { value, draft, place: Some((number, way)), base })
            }
        }
    }

    /// The part that a `$ref` in a part leads to.
    pub(super) fn target(&mut self, number: usize, reference: &str, path: &str) -> Result<usize, SchemaError> {
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let address = uri::resolved(&self.parts[number].base, address);
        let Some(resource) = self.resources.get(&address).copied() else {
            return Err(SchemaError::ExternalRef { path: path.to_owned(), reference: shortened(reference) });
        };
        let dangling = || SchemaError::DanglingRef { path: path.to_owned(), reference: shortened(reference) };
        let fragment = uri::decoded(fragment).ok_or_else(dangling)?;
        if fragment.is_empty() {
            return Ok(resource);
        }
        if !fragment.starts_with('/') {
            return self.anchors.get(&(address, fragment)).copied().ok_or_else(dangling);
        }
        let mut at = resource;
        let mut value = self.parts[resource].value;
        let mut way = String::new();
        for step in fragment.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            value = match value {
                Value::Object(members) => members.get(&step),
                Value::Array(entries) => index(&step).and_then(|index| entries.get(index)),
                _ => None,
            }
            .ok_or_else(dangling)?;
            way = below(&way, &step);
            if let Some(known) = self.numbers.get(&std::ptr::from_ref(value).addr()) {
                at = *known;
                way.clear();
            }
        }
        self.child(at, value, way)
    }

    /// Whether a dynamic reference to this name can only mean one place.
    pub(super) fn is_static(&self, name: &str) -> bool {
        self.dynamic.get(name).copied().unwrap_or_default() <= 1
    }

    /// A reference that leads nowhere is a mistake also where nothing needs it.
    fn check_references(&mut self) -> Result<(), SchemaError> {
        // Targets outside of known keywords join the list.
        let mut number = 0;
        while number < self.parts.len() {
            let part = &self.parts[number];
            if let Value::Object(members) = part.value
                && let Some(reference) = text(members, "$ref")
            {
                let path = self.path(number) + "/$ref";
                self.target(number, reference, &path)?;
            }
            number += 1;
        }
        Ok(())
    }

    fn index(&mut self, mut part: Part<'s>) -> Result<usize, SchemaError> {
        let number = self.parts.len();
        let Value::Object(members) = part.value else {
            let is_schema = part.value.is_boolean();
            self.remember(part);
            return match is_schema {
                true => Ok(number),
                false => Err(invalid(self.path(number), "a schema is an object or a boolean")),
            };
        };
        let drafts = "known are drafts 6, 7, 2019-09 and 2020-12 of JSON Schema";
        if let Some(named) = members.get("$schema") {
            match draft(named) {
                Some(draft) => part.draft = draft,
                None => {
                    self.remember(part);
                    return Err(invalid(self.path(number) + "/$schema", drafts));
                }
            }
        }
        // In draft 7 an `$id` next to a `$ref` names nothing.
        let named =
            if part.draft == Draft::Seven && members.contains_key("$ref") { None } else { text(members, "$id") };
        if let Some(id) = named {
            let (address, anchor) = id.split_once('#').unwrap_or((id, ""));
            part.base = uri::resolved(&part.base, address).into();
            if !address.is_empty() {
                self.resources.entry(part.base.to_string()).or_insert(number);
            }
            if !anchor.is_empty() {
                self.anchors.insert((part.base.to_string(), anchor.to_owned()), number);
            }
        }
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = text(members, keyword) {
                self.anchors.insert((part.base.to_string(), name.to_owned()), number);
            }
        }
        if let Some(name) = text(members, "$dynamicAnchor") {
            *self.dynamic.entry(name.to_owned()).or_default() += 1;
        }
        let (draft, base) = (part.draft, Rc::clone(&part.base));
        self.remember(part);
        for (value, way) in children(members) {
            if matches!(value, Value::Object(_) | Value::Bool(_)) {
                self.index(Part { value, draft, place: Some((number, way)), base: Rc::clone(&base) })?;
            }
        }
        Ok(number)
    }

    fn remember(&mut self, part: Part<'s>) {
        self.numbers.insert(std::ptr::from_ref(part.value).addr(), self.parts.len());
        self.parts.push(part);
    }
}

/// The schemas right below one, as far as keywords say.
fn children(members: &Map<String, Value>) -> Vec<(&Value, String)> {
    let mut found = Vec::new();
    for (keyword, value) in members {
        let way = below("", keyword);
        match value {
            Value::Array(entries) if LIST.contains(&keyword.as_str()) => {
                for (position, entry) in entries.iter().enumerate() {
                    found.push((entry, below(&way, &position.to_string())));
                }
            }
            Value::Object(entries) if MAP.contains(&keyword.as_str()) => {
                for (name, entry) in entries {
                    found.push((entry, below(&way, name)));
                }
            }
            Value::Object(_) if ONE.contains(&keyword.as_str()) => found.push((value, way)),
            _ => {}
        }
    }
    found
}

fn draft(named: &Value) -> Option<Draft> {
    let name = named.as_str()?.trim_end_matches('#');
    match name.rsplit_once("://")?.1 {
        "json-schema.org/draft/2020-12/schema" => Some(Draft::Twenty),
        "json-schema.org/draft/2019-09/schema" => Some(Draft::Nineteen),
        "json-schema.org/draft-07/schema" | "json-schema.org/draft-06/schema" => Some(Draft::Seven),
        _ => None,
    }
}

fn invalid(path: String, reason: &str) -> SchemaError {
    SchemaError::Invalid { path, reason: reason.to_owned() }
}

fn text<'s>(members: &'s Map<String, Value>, keyword: &str) -> Option<&'s str> {
    members.get(keyword).and_then(Value::as_str)
}

fn index(step: &str) -> Option<usize> {
    let canonical = step == "0" || !step.starts_with(['0', '+']);
    if canonical { step.parse().ok() } else { None }
}

/// Error texts stay short whatever the client sent.
fn shortened(reference: &str) -> String {
    const MOST: usize = 100;
    match reference.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &reference[..end]),
        None => reference.to_owned(),
    }
}

/// Looks at every value before anything recurses into them.
fn check_size(schema: &Value) -> Result<(), SchemaError> {
    let too_large = |reason| Err(SchemaError::TooLarge { path: String::new(), reason });
    let mut open = vec![(schema, 1)];
    let (mut values, mut text) = (0usize, 0usize);
    while let Some((value, depth)) = open.pop() {
        values += 1;
        match value {
            Value::Array(entries) => open.extend(entries.iter().map(|entry| (entry, depth + 1))),
            Value::Object(members) => {
                text += members.keys().map(String::len).sum::<usize>();
                open.extend(members.values().map(|member| (member, depth + 1)));
            }
            Value::String(written) => text += written.len(),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return too_large("it is nested too deeply");
        }
        if values + open.len() > MAX_VALUES || text > MAX_TEXT {
            return too_large("it has too many parts");
        }
    }
    Ok(())
}
