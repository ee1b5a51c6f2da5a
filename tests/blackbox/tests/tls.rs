//! TLS between the services: who is let in, who is not and why, and certificates that change under running streams.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what is wrong")]

#[path = "tls/authority.rs"]
mod authority;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use cloudach_blackbox::{Event, Events, Fleet, Link, Plan, Replica, Service, chat, eventually, program, with};
use cloudach_fake_engine::Script;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream, SupportedProtocolVersion};
use serde_json::json;

use self::authority::{Authority, Mounted, Signed};

const CHAT: &str = "/v1/chat/completions";

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// Streams for about 15 seconds.
const LONG: &str = "[[tokens=300]][[delay=50ms]]";
const TOKENS: usize = 300;

struct Pki {
    ca: Authority,
    mounted: [Mounted; 3],
}

const EDGE: usize = 0;
const ROUTER: usize = 1;
const SIDECAR: usize = 2;
const NAMES: [&str; 3] = ["cloudach-edge", "cloudach-router", "cloudach-sidecar"];

impl Pki {
    fn new() -> Self {
        let ca = Authority::new("first");
        let mounted = NAMES.map(|name| Mounted::new(&ca.sign(name), &ca.pem()));
        Self { ca, mounted }
    }

    fn plan(&self) -> Plan {
        let tls = |service: usize| json!({ "tls": self.mounted[service].section() });
        Plan {
            routers: 2,
            replicas: vec![Replica::fake(Script::vllm()), Replica::fake(Script::vllm())],
            link: Link::Tcp,
            edge: tls(EDGE),
            router: tls(ROUTER),
            sidecar: tls(SIDECAR),
            ..Plan::default()
        }
    }
}

/// What a client finds: whose certificate it was shown, where it was heard.
fn dial(
    to: &Service,
    service: usize,
    ca: &Authority,
    shown: Option<&Signed>,
) -> Result<CertificateDer<'static>, String> {
    dial_by(rustls::ALL_VERSIONS, to, service, ca, shown)
}

fn dial_by(
    versions: &[&'static SupportedProtocolVersion],
    to: &Service,
    service: usize,
    ca: &Authority,
    shown: Option<&Signed>,
) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_root_certificates(roots);
    let mut config = match shown {
        Some(signed) => config.with_client_auth_cert(vec![signed.cert.clone()], signed.key()).unwrap(),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // By what the certificate says, not by where it was dialled.
    let name = ServerName::try_from(NAMES[service]).unwrap();
    let mut socket = TcpStream::connect(&to.listen).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    // HTTP/2's first words, and an empty frame of settings.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").map_err(|error| error.to_string())?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).map_err(|error| error.to_string())?;
    Ok(connection.peer_certificates().unwrap()[0].clone().into_owned())
}

/// A stream of which something has come.
fn begun(fleet: &Fleet, edge: usize) -> Events {
    let mut stream = fleet.client_of(edge).stream(CHAT, &with(chat(LONG), json!({ "stream": true })));
    stream.chunk();
    stream.chunk();
    stream
}

fn assert_whole(stream: Events) {
    let events = stream.rest();
    assert_eq!(events.last(), Some(&Event::Done));
    // Two were read before.
    let pieces = events.iter().filter(|event| matches!(event, Event::Json(_))).count() + 2;
    assert!(pieces >= TOKENS, "{pieces} pieces");
}

fn refusals(service: &Service) -> String {
    let lines = service.logged(&["connection refused", "call refused", "no connection"]);
    lines.iter().map(|line| line["why"].as_str().unwrap_or_default().to_owned() + "\n").collect()
}

fn is_told(service: &Service, why: &str) {
    eventually(PATIENCE, &format!("{} tells: {why}", service.name), || refusals(service).contains(why));
}

#[test]
fn only_those_with_the_right_certificate_are_let_in() {
    let pki = Pki::new();
    let mut fleet = Fleet::start(pki.plan());
    let answer = fleet.client().post(CHAT, &chat("hello"));
    assert_eq!(answer.head.status, 200, "{}", answer.text());

    let other = Authority::new("other");
    let (stranger, expired) = (pki.ca.sign("stranger"), pki.ca.sign_expired("cloudach-edge"));
    let foreign = other.sign("cloudach-edge");
    for (service, name) in [(&fleet.routers[0], ROUTER), (&fleet.sidecars[0], SIDECAR)] {
        let mut plain = TcpStream::connect(&service.listen).unwrap();
        plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        plain.set_read_timeout(Some(PATIENCE)).unwrap();
        // At the most an alert of TLS, and never a frame.
        let mut answer = Vec::new();
        let _ = plain.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
        is_told(service, "it speaks no TLS");
        for (shown, why) in [
            (None, "it shows no certificate"),
            (Some(&foreign), "no CA in"),
            (Some(&expired), "expired at 20"),
            (Some(&stranger), "its certificate is for `stranger`, and not for"),
        ] {
            dial(service, name, &pki.ca, shown).unwrap_err();
            is_told(service, why);
        }
        let right = pki.ca.sign(if name == ROUTER { "cloudach-edge" } else { "cloudach-router" });
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            dial_by(&[version], service, name, &pki.ca, Some(&right)).unwrap();
            dial_by(&[version], service, name, &pki.ca, None).unwrap_err();
        }
        let (_, metrics) = service.admin_answer("/metrics").unwrap();
        for reason in ["plaintext", "no_certificate", "unknown_ca", "expired", "wrong_name"] {
            let line = metrics.lines().find(|line| line.contains("tls_refused_total") && line.contains(reason));
            assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{reason}: {line:?}");
        }
    }
    assert!(dial(&fleet.routers[0], ROUTER, &other, Some(&foreign)).is_err(), "the router's is of the CA");

    // A sidecar's certificate makes no edge, and an edge says itself why routers refuse it.
    let sidecar = with(pki.mounted[SIDECAR].section(), json!({ "names": { "edge": "cloudach-sidecar" } }));
    let posing = fleet.add_edge(json!({ "tls": sidecar }));
    is_told(&fleet.routers[0], "its certificate is for `cloudach-sidecar`; this is for `cloudach-edge` alone");
    assert!(!fleet.edges[posing].is_ready());
    let of_other = Mounted::new(&foreign, &pki.ca.pem());
    let refused = fleet.add_edge(json!({ "tls": of_other.section() }));
    is_told(&fleet.edges[refused], "no CA that it knows has signed it");
    let believes_other = Mounted::new(&pki.ca.sign("cloudach-edge"), &other.pem());
    let refusing = fleet.add_edge(json!({ "tls": believes_other.section() }));
    is_told(&fleet.edges[refusing], "has signed its certificate");
    let plain = fleet.add_edge(json!({}));
    assert!(!fleet.edges[plain].is_ready());
    // The first goes on through all of it.
    assert_eq!(fleet.client().post(CHAT, &chat("hello")).head.status, 200);
}

#[test]
fn certificates_change_under_running_streams() {
    let mut pki = Pki::new();
    let fleet = Fleet::start(pki.plan());
    let before = pki.ca.sign("cloudach-edge");
    let first = dial(&fleet.routers[0], ROUTER, &pki.ca, Some(&before)).unwrap();
    let streams: Vec<_> = (0..4).map(|_| begun(&fleet, 0)).collect();

    // Both CAs, then certificates of the new one, then the new one alone.
    let next = Authority::new("next");
    let both = pki.ca.pem() + &next.pem();
    let signed = NAMES.map(|name| next.sign(name));
    for (mounted, name) in pki.mounted.iter_mut().zip(NAMES) {
        mounted.put(&pki.ca.sign(name), &both);
    }
    look_again(&fleet, 1);
    for (mounted, signed) in pki.mounted.iter_mut().zip(&signed) {
        mounted.put(signed, &both);
    }
    look_again(&fleet, 2);
    assert_ne!(dial(&fleet.routers[0], ROUTER, &next, Some(&before)).unwrap(), first);
    for (mounted, signed) in pki.mounted.iter_mut().zip(&signed) {
        mounted.put(signed, &next.pem());
    }
    // Nobody says so: they look by themselves.
    for service in fleet.services() {
        eventually(PATIENCE, "it has looked", || taken(service) == 3);
    }
    dial(&fleet.routers[0], ROUTER, &next, Some(&before)).unwrap_err();
    let shown = dial(&fleet.routers[0], ROUTER, &next, Some(&signed[EDGE])).unwrap();
    assert_eq!(shown, signed[ROUTER].cert);
    assert_eq!(fleet.client().post(CHAT, &chat("hello")).head.status, 200);
    streams.into_iter().for_each(assert_whole);

    // What is opened anew is opened with what holds now.
    let mut fleet = fleet;
    fleet.routers[0].kill();
    fleet.restart_router(0);
    fleet.edges[0].kill();
    fleet.restart_edge(0);
    assert_eq!(fleet.client().post(CHAT, &chat("hello")).head.status, 200);
}

#[test]
fn broken_files_change_nothing() {
    let mut pki = Pki::new();
    let fleet = Fleet::start(pki.plan());
    let router = &fleet.routers[0];
    let edge = pki.ca.sign("cloudach-edge");
    let first = dial(router, ROUTER, &pki.ca, Some(&edge)).unwrap();
    let expires = router.admin_answer("/metrics").unwrap().1;
    assert!(expires.contains("cloudach_router_certificate_expires_timestamp_seconds{file=\"cert\"}"), "{expires}");
    let (good, other) = (pki.ca.sign("cloudach-router"), pki.ca.sign("cloudach-router"));
    let (cert, key, ca) = (pem(&good), good.key.serialize_pem(), pki.ca.pem());
    let expired = pki.ca.sign_expired("cloudach-router");
    for (cert, key, ca, why) in [
        ("nonsense", key.as_str(), ca.as_str(), "tls.crt holds no certificate in PEM"),
        (&cert, "", &ca, "tls.key holds no private key in PEM"),
        (&cert, &key, "", "ca.crt holds no certificate in PEM"),
        (&cert, &other.key.serialize_pem(), &ca, "is not that of the certificate in"),
        (&pem(&expired), &expired.key.serialize_pem(), &ca, "tls.crt expired at 20"),
        (&pem(&edge), &edge.key.serialize_pem(), &ca, "is for `cloudach-edge`, and not for `cloudach-router`"),
    ] {
        pki.mounted[ROUTER].put_text(cert, key, ca);
        router.hang_up();
        let says = || {
            let lines = router.logged(&["new certificates cannot be used; those from before go on"]);
            lines.iter().any(|line| line["error"].as_str().is_some_and(|error| error.contains(why)))
        };
        eventually(PATIENCE, why, says);
        assert_eq!(reload_refused(router), 1.0);
        assert_eq!(dial(router, ROUTER, &pki.ca, Some(&edge)).unwrap(), first);
    }
    pki.mounted[ROUTER].put(&good, &ca);
    router.hang_up();
    eventually(PATIENCE, "the good one is taken", || reload_refused(router) == 0.0);
    assert_eq!(dial(router, ROUTER, &pki.ca, Some(&edge)).unwrap(), good.cert);
    assert_eq!(fleet.client().post(CHAT, &chat("hello")).head.status, 200);
}

/// A service that starts says what is wrong, and ends.
#[test]
fn nothing_starts_with_certificates_that_cannot_be_used() {
    let pki = Pki::new();
    let folder = tempfile::TempDir::new().unwrap();
    let missing = with(pki.mounted[ROUTER].section(), json!({ "cert": folder.path().join("none.crt") }));
    let expired = Mounted::new(&pki.ca.sign_expired("cloudach-router"), &pki.ca.pem());
    for (tls, why) in [
        (missing, "none.crt: No such file"),
        (expired.section(), "tls.crt expired at 20"),
        (pki.mounted[EDGE].section(), "is for `cloudach-edge`, and not for `cloudach-router`"),
        (with(expired.section(), json!({ "names": { "router": "*" } })), "`tls.names.router` is neither"),
    ] {
        let config = json!({ "listen": "127.0.0.1:0", "catalogue": { "models": {} }, "tls": tls });
        let (path, log) = (folder.path().join("router.yaml"), folder.path().join("log"));
        fs::write(&path, config.to_string()).unwrap();
        let mut router = Command::new(program("cloudach-router"));
        let status = router.arg("--config").arg(&path).stderr(File::create(&log).unwrap()).status().unwrap();
        assert_eq!(status.code(), Some(1));
        let log = fs::read_to_string(&log).unwrap();
        assert!(log.contains(why), "{log}");
    }
}

fn look_again(fleet: &Fleet, times: usize) {
    for service in fleet.services() {
        service.hang_up();
        eventually(PATIENCE, "it has looked", || taken(service) == times);
    }
}

/// How often other certificates were taken.
fn taken(service: &Service) -> usize {
    service.logged(&["new certificates, for connections from now on"]).len()
}

fn reload_refused(service: &Service) -> f64 {
    let (_, metrics) = service.admin_answer("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.contains("reload_refused{what=\"certificates\"}")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn pem(signed: &Signed) -> String {
    signed.pem.clone()
}
