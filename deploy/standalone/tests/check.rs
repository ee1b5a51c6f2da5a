//! `cloudach check`: the examples are valid, and mistakes are named with their place.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use cloudach_service::config;

fn check(arguments: &[&str], file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cloudach"))
        .arg("check")
        .args(arguments)
        .arg(file)
        .current_dir(root())
        .output()
        .expect("the binary starts")
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn the_examples_are_valid() {
    let examples = [
        ("up", "deploy/local/standalone.yaml"),
        ("edge", "deploy/local/edge.yaml"),
        ("router", "deploy/local/router.yaml"),
        ("catalogue", "deploy/local/catalogue.yaml"),
        ("sidecar", "deploy/local/sidecar.yaml"),
        ("up", "tests/e2e/llama_cpp.yaml"),
        ("up", "tests/e2e/vllm.yaml"),
    ];
    for (kind, file) in examples {
        let checked = check(&["--as", kind], Path::new(file));
        assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
        assert!(String::from_utf8_lossy(&checked.stdout).contains("is valid"));
    }
}

#[test]
fn the_examples_fit_together() {
    let file = |name: &str| root().join("deploy/local").join(name);
    let edge: cloudach_edge::config::Config = config::load(&file("edge.yaml")).expect("valid");
    let router: cloudach_router::config::Config = config::load(&file("router.yaml")).expect("valid");
    let sidecar: cloudach_sidecar::Config = config::load(&file("sidecar.yaml")).expect("valid");
    assert!(edge.routers.contains(&router.listen) && sidecar.routers.contains(&router.listen));
    let catalogue = fs::read_to_string(file("catalogue.yaml")).expect("readable");
    assert!(catalogue.contains(&format!("  {}:", sidecar.model.unwrap())));
}

#[test]
fn mistakes_are_named() {
    let cases = [
        ("up", "engines: []", "names no engine"),
        ("up", "engins: []", "engins"),
        ("up", "engines:\n  - model: m\n    engine: {dialect: tgi, url: http://a:1}", "line 3"),
        (
            "up",
            "catalogue: {models: {a: {aliases: [m]}}}\nengines: [{model: m, engine: {dialect: vllm, url: http://a:1}}]",
            "`m`",
        ),
        ("edge", "listen: 127.0.0.1:1\nrouters: []\nkeys: []", "routers"),
        ("edge", "listen: 127.0.0.1:1\nrouters: ['a:1']\nkeys: []\nstream: {keep_alive: 0s}", "stream.keep_alive"),
        ("edge", "listen: nowhere\nrouters: []\nkeys: []", "line 1"),
        ("edge", "listen: 127.0.0.1:1\nrouters: [http://a]\nkeys: []", "host:port"),
        ("edge", "listen: 127.0.0.1:1\nrouters: ['a:1']\nkeys: [{name: a, sha256: abc}]", "64 hexadecimal digits"),
        ("router", "listen: 127.0.0.1:1\ncatalogue: /nowhere.yaml", "/nowhere.yaml"),
        ("catalogue", "models: {a: {aliases: [x]}, b: {aliases: [x]}}", "`x` stands for both `a` and `b`"),
        ("catalogue", "models: {a: {chat_template: \"{{ x }}\\n{% if %}\"}}", "line 2"),
        ("catalogue", "models: {a: {template_family: llama-9}}", "no template family `llama-9`; there are chatml, "),
        ("catalogue", "models: {a: {tool_format: telepathy}}", "`models.a.tool_format`"),
        (
            "up",
            "catalogue: {models: {a: {reasoning_format: x}}}\nengines: [{model: m, engine: {dialect: vllm, url: http://a:1}}]",
            "`models.a.reasoning_format`",
        ),
    ];
    let file = std::env::temp_dir().join(format!("cloudach-check-{}.yaml", std::process::id()));
    for (kind, yaml, expected) in cases {
        fs::write(&file, yaml).expect("a temporary file");
        let checked = check(&["--as", kind], &file);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(!checked.status.success(), "{yaml} was taken for valid");
        assert!(said.contains(expected), "{yaml}\nexpected: {expected}\nsaid: {said}");
    }
    fs::remove_file(file).expect("the temporary file");
    assert!(!check(&[], Path::new("/nowhere.yaml")).status.success());
}
