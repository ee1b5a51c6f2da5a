//! Services of two versions understand each other: the contract has only grown since the version before (proto/compat).

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

mod breaks;
mod filled;

use std::{fs, path::Path};

use cloudach_proto::DESCRIPTORS;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage, Value,
    prost::{Message, bytes::Bytes},
};

use self::breaks::breaks;

const FILES: [&str; 3] = ["cloudach/v1/inference.proto", "cloudach/v1/catalog.proto", "cloudach/v1/fleet.proto"];

/// So many messages of each kind, with different fields of what excludes one another.
const SAMPLES: u64 = 24;

fn before() -> DescriptorPool {
    compiled(&Path::new(env!("CARGO_MANIFEST_DIR")).join("compat"), &FILES)
}

fn now() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

fn compiled(folder: &Path, files: &[&str]) -> DescriptorPool {
    let set = protox::compile(files, [folder]).unwrap();
    DescriptorPool::from_file_descriptor_set(set).unwrap()
}

#[test]
fn the_contract_has_only_grown() {
    let found = breaks(&before(), &now());
    assert!(found.is_empty(), "a version before this one does not understand it any more:\n{}", found.join("\n"));
}

/// What the one writes the other reads, field by field, and hands back unharmed.
#[test]
fn each_version_reads_what_the_other_writes() {
    let (before, now) = (before(), now());
    let mut count = 0;
    for old in before.all_messages().filter(|message| !message.is_map_entry()) {
        let new = now.get_message_by_name(old.full_name()).unwrap();
        for sample in 0..SAMPLES {
            let written = filled::message(&old, sample);
            let read = reread(&written, &new);
            if let Some(field) = differs(&reread(&read, &old), &written) {
                panic!("{field} is read otherwise now");
            }
            let written = filled::message(&new, sample);
            let read = reread(&written, &old);
            if let Some(field) = differs(&read, &written) {
                panic!("{field}: the version before reads it otherwise");
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} messages");
}

fn reread(message: &DynamicMessage, by: &MessageDescriptor) -> DynamicMessage {
    DynamicMessage::decode(by.clone(), Bytes::from(message.encode_to_vec())).unwrap()
}

/// The first field of those that `read` knows in which it is not what was `written`, by a version that may know more.
fn differs(read: &DynamicMessage, written: &DynamicMessage) -> Option<String> {
    let field = |field: FieldDescriptor| {
        let same = written.descriptor().get_field(field.number())?;
        let (read, written) = (read.get_field(&field), written.get_field(&same));
        (!is_same(&read, &written)).then(|| field.full_name().to_owned())
    };
    read.descriptor().fields().find_map(field)
}

fn is_same(read: &Value, written: &Value) -> bool {
    match (read, written) {
        (Value::Message(read), Value::Message(written)) => differs(read, written).is_none(),
        (Value::List(read), Value::List(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(read, written)| is_same(read, written))
        }
        (Value::Map(read), Value::Map(written)) => {
            let has = |(key, read)| written.get(key).is_some_and(|written| is_same(read, written));
            read.len() == written.len() && read.iter().all(has)
        }
        (read, written) => read == written,
    }
}

const SMALL: &str = r#"syntax = "proto3";
package t;
message A {
  string name = 1;
  repeated uint32 ids = 2;
  optional int64 time = 3;
  oneof kind { B b = 4; string text = 5; }
  E state = 6;
  map<string, B> by = 7;
  message Inner { bool on = 1; }
  Inner inner = 8;
}
message B { bytes raw = 1; }
enum E { E_NONE = 0; E_ONE = 1; }
service S { rpc Ask(A) returns (stream B); rpc Tell(A) returns (B); }
"#;

/// Each way to break a contract is found, and growing is none.
#[test]
fn what_breaks_a_contract_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let compile = |text: &str| {
        fs::write(folder.path().join("small.proto"), text).unwrap();
        compiled(folder.path(), &["small.proto"])
    };
    let small = compile(SMALL);
    assert_eq!(breaks(&small, &small), Vec::<String>::new());
    for (from, to, says) in [
        ("  string name = 1;\n", "", "t.A.name (1) is gone"),
        ("  string name = 1;\n", "  reserved 1;\n", "t.A.name (1) is gone"),
        ("string name = 1", "string name = 9", "t.A.name (1) is gone"),
        ("string name = 1", "string title = 1", "t.A.name (1) is called title"),
        ("string name = 1", "bytes name = 1", "t.A.name (1) was string and is bytes"),
        ("optional int64 time", "optional sint64 time", "t.A.time (3) was optional int64 and is optional sint64"),
        ("optional int64 time", "int64 time", "t.A.time (3)"),
        ("repeated uint32 ids", "uint32 ids", "t.A.ids (2)"),
        ("oneof kind { B b = 4; string text = 5; }", "B b = 4; string text = 5;", "t.A.b (4)"),
        ("map<string, B> by", "map<string, string> by", "t.A.ByEntry.value"),
        ("bool on = 1", "string on = 1", "t.A.Inner.on (1)"),
        ("Inner inner = 8", "B inner = 8", "t.A.inner (8) was t.A.Inner and is t.B"),
        ("; E_ONE = 1", "", "t.E has no value 1 (E_ONE) any more"),
        ("E_ONE = 1", "E_TWO = 1", "t.E: the value 1 (E_ONE) is called E_TWO"),
        ("rpc Tell(A) returns (B);", "", "t.S.Tell is gone"),
        ("returns (stream B)", "returns (B)", "t.S.Ask"),
        ("rpc Tell(A)", "rpc Tell(B)", "t.S.Tell"),
    ] {
        let changed = SMALL.replace(from, to);
        assert_ne!(changed, SMALL, "{from}");
        let found = breaks(&small, &compile(&changed));
        assert!(found.iter().any(|told| told.contains(says)), "{to}: {found:?}");
    }
    let grown = SMALL
        .replace("string name = 1;", "string name = 1; string more = 20;")
        .replace("string text = 5;", "string text = 5; uint32 number = 21;")
        .replace("E_ONE = 1;", "E_ONE = 1; E_TWO = 2;")
        .replace("rpc Tell", "rpc More(A) returns (B); rpc Tell")
        + "message C { A a = 1; }\n";
    assert_eq!(breaks(&small, &compile(&grown)), Vec::<String>::new());
}
