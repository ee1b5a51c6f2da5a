//! What of a contract has changed so that the version before does not understand it.

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

/// All of it, in words.
pub fn breaks(before: &DescriptorPool, now: &DescriptorPool) -> Vec<String> {
    let mut found = Vec::new();
    for old in before.all_messages() {
        match now.get_message_by_name(old.full_name()) {
            Some(new) => messages(&old, &new, &mut found),
            None => found.push(format!("{} is gone", old.full_name())),
        }
    }
    for old in before.all_enums() {
        match now.get_enum_by_name(old.full_name()) {
            Some(new) => enums(&old, &new, &mut found),
            None => found.push(format!("{} is gone", old.full_name())),
        }
    }
    for old in before.services() {
        match now.get_service_by_name(old.full_name()) {
            Some(new) => services(&old, &new, &mut found),
            None => found.push(format!("{} is gone", old.full_name())),
        }
    }
    found
}

fn messages(old: &MessageDescriptor, new: &MessageDescriptor, found: &mut Vec<String>) {
    for field in old.fields() {
        let what = format!("{} ({})", field.full_name(), field.number());
        let Some(same) = new.get_field(field.number()) else {
            found.push(format!("{what} is gone"));
            continue;
        };
        if same.name() != field.name() {
            found.push(format!("{what} is called {}", same.name()));
        }
        let [was, is] = [&field, &same].map(shape);
        if was != is {
            found.push(format!("{what} was {was} and is {is}"));
        }
    }
}

/// What decides on a field's bytes, and on what its absence means.
fn shape(field: &FieldDescriptor) -> String {
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(values) => values.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    let oneof = field.containing_oneof();
    match (field.cardinality(), oneof) {
        (Cardinality::Repeated, _) => format!("repeated {kind}"),
        (_, Some(oneof)) if !oneof.is_synthetic() => format!("{kind}, one of {}", oneof.name()),
        _ if field.supports_presence() && !matches!(field.kind(), Kind::Message(_)) => format!("optional {kind}"),
        _ => kind,
    }
}

fn enums(old: &EnumDescriptor, new: &EnumDescriptor, found: &mut Vec<String>) {
    for value in old.values() {
        let (enumeration, number, name) = (old.full_name(), value.number(), value.name());
        match new.get_value(number) {
            None => found.push(format!("{enumeration} has no value {number} ({name}) any more")),
            Some(same) if same.name() != name => {
                found.push(format!("{enumeration}: the value {number} ({name}) is called {}", same.name()));
            }
            Some(_) => {}
        }
    }
}

fn services(old: &ServiceDescriptor, new: &ServiceDescriptor, found: &mut Vec<String>) {
    for method in old.methods() {
        let Some(same) = new.methods().find(|same| same.name() == method.name()) else {
            found.push(format!("{} is gone", method.full_name()));
            continue;
        };
        let signature = |method: &prost_reflect::MethodDescriptor| {
            let stream = |is: bool| if is { "stream " } else { "" };
            let (input, output) = (method.input(), method.output());
            let (up, down) = (stream(method.is_client_streaming()), stream(method.is_server_streaming()));
            format!("({up}{}) -> ({down}{})", input.full_name(), output.full_name())
        };
        let (was, is) = (signature(&method), signature(&same));
        if was != is {
            found.push(format!("{} was {was} and is {is}", method.full_name()));
        }
    }
}
