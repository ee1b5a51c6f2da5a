//! Tokens of every kind against key sets, and what attackers make of them.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    algorithm::Algorithm,
    config::{self, IssuerConfig},
    key_set::{KeySet, KeySetError, MOST_KEYS},
    refusal::Refusal,
    samples::{Signer, encoded},
    token::{Token, looks_like_a_token},
};

fn set(keys: &[Value]) -> KeySet {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// Reads a token and checks its signature.
fn check(text: &str, keys: &KeySet) -> Result<(), Refusal> {
    let token = Token::read(text)?;
    let algorithm = token.algorithm.ok_or(Refusal::Algorithm)?;
    keys.signer(algorithm, token.key_id.as_deref(), token.signed, &token.signature).map(|_| ())
}

#[test]
fn every_algorithm_checks_its_own_signatures_and_no_others() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        let (signer, other) = (Signer::of(algorithm), Signer::of(Algorithm::Es256));
        let keys = set(&[other.jwk("other"), signer.jwk("mine")]);
        for header in [json!({ "alg": algorithm.name(), "kid": "mine" }), json!({ "alg": algorithm.name() })] {
            let token = signer.token(&header, &json!({ "sub": "ann" }));
            assert_eq!(check(&token, &keys), Ok(()), "{header}");
            // Another text, and each part of the signature changed.
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let (head, _) = signed.split_once('.').unwrap();
            let forged = format!("{head}.{}.{signature}", encoded(r#"{"sub":"bob"}"#));
            assert_eq!(check(&forged, &keys), Err(Refusal::Signature), "{header}");
            assert_eq!(check(&format!("{signed}."), &keys), Err(Refusal::Signature), "{header}");
            assert_eq!(check(&format!("{signed}.{}", encoded([0; 64])), &keys), Err(Refusal::Signature), "{header}");
            // Signed by this key, said to be by another algorithm of the same key.
            for said in Algorithm::ALL.into_iter().filter(|said| *said != algorithm) {
                let swapped = encoded(json!({ "alg": said.name(), "kid": "mine" }).to_string());
                let (_, claims) = signed.split_once('.').unwrap();
                assert!(check(&format!("{swapped}.{claims}.{signature}"), &keys).is_err(), "{header} as {said:?}");
            }
        }
        let unknown = signer.token(&json!({ "alg": algorithm.name(), "kid": "gone" }), &json!({}));
        assert_eq!(check(&unknown, &keys), Err(Refusal::UnknownKey));
        let swapped = signer.token(&json!({ "alg": algorithm.name(), "kid": "other" }), &json!({}));
        assert!(check(&swapped, &keys).is_err(), "another key's name");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    let signer = Signer::of(Algorithm::Rs256);
    let keys = set(&[signer.jwk("rsa")]);
    let jwk = signer.jwk("rsa");
    for alg in ["HS256", "HS384", "none", "None", "", "RS1"] {
        let signed = format!("{}.{}", encoded(json!({ "alg": alg, "kid": "rsa" }).to_string()), encoded("{}"));
        for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned()] {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(signed.as_bytes());
            let token = format!("{signed}.{}", encoded(mac.finalize().into_bytes()));
            assert_eq!(check(&token, &keys), Err(Refusal::Algorithm), "{alg}");
        }
        assert_eq!(check(&format!("{signed}."), &keys), Err(Refusal::Algorithm), "{alg}");
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_read() {
    let (ours, theirs) = (Signer::of(Algorithm::Es256), Signer::of(Algorithm::Es256));
    let keys = set(&[ours.jwk("k")]);
    for brought in [
        json!({ "alg": "ES256", "jwk": theirs.jwk("k") }),
        json!({ "alg": "ES256", "kid": "k", "jwk": theirs.jwk("k"), "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/" }),
    ] {
        assert_eq!(check(&theirs.token(&brought, &json!({})), &keys), Err(Refusal::Signature));
        assert_eq!(check(&ours.token(&brought, &json!({})), &keys), Ok(()));
    }
    for crit in [json!(["b64"]), json!([]), json!(null), json!("exp")] {
        let token = ours.token(&json!({ "alg": "ES256", "kid": "k", "crit": crit, "b64": false }), &json!({}));
        assert_eq!(check(&token, &keys), Err(Refusal::Critical), "{crit}");
    }
}

#[test]
fn what_is_no_token_is_refused() {
    let deep = encoded("[".repeat(3000));
    let head = encoded(r#"{"alg":"ES256"}"#);
    let twice = encoded(r#"{"alg":"ES256","alg":"none"}"#);
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "eyJ".to_owned(),
        format!("{head}.e30"),
        format!("{head}.e30.AA.AA"),
        format!("{head}.e30.AA.AA.AA"),
        format!("{head}..AA"),
        format!("{head}.e30=.AA"),
        format!("{head}.W10.AA"),
        format!("{head}.{deep}.AA"),
        format!("{deep}.e30.AA"),
        format!("{twice}.e30.AA"),
        format!("{head}.e31.AA"),
        format!("{head}.e30.A"),
        format!("{head}.e30.\u{e9}"),
        format!("{}.e30.AA", encoded(r#"{"alg":7}"#)),
        format!("{}.e30.AA", encoded([0xff, 0xfe])),
    ] {
        assert_eq!(Token::read(&text).map(|_| ()), Err(Refusal::Malformed), "{text}");
    }
    let long = format!("{head}.{}.AA", encoded(json!({ "a": "x".repeat(8 * 1024) }).to_string()));
    assert_eq!(Token::read(&long).map(|_| ()), Err(Refusal::TooLong));
    assert!(looks_like_a_token(&long) && !looks_like_a_token("sk-eyJ.a.b") && !looks_like_a_token("eyJhbGciOi"));
}

#[test]
fn key_sets_are_read_within_bounds() {
    let read = |text: &str| KeySet::read(text.as_bytes()).map(|keys| keys.len());
    for text in ["", "[]", "{}", "<html>", r#"{"keys":{}}"#, &format!(r#"{{"keys":{}}}"#, "[".repeat(4000))] {
        assert_eq!(read(text), Err(KeySetError::Form), "{text}");
    }
    let rsa = Signer::of(Algorithm::Rs256).jwk("a");
    let of = |keys: Vec<Value>| read(&json!({ "keys": keys }).to_string());
    assert_eq!(of(vec![rsa.clone(); MOST_KEYS]), Ok(MOST_KEYS));
    assert_eq!(of(vec![rsa.clone(); MOST_KEYS + 1]), Err(KeySetError::TooMany));
    let over = |name: &str, value: Value| {
        let mut key = rsa.clone();
        key[name] = value;
        key
    };
    for unusable in [
        json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }),
        json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "x": encoded([1; 32]) }),
        json!("RSA"),
        over("use", json!("enc")),
        over("key_ops", json!(["sign"])),
        over("alg", json!("RSA-OAEP")),
        over("n", json!(encoded([0xff; 128]))),
        over("n", json!(encoded([0xff; 1025]))),
        over("n", json!("not base64!")),
        over("e", json!(null)),
    ] {
        assert_eq!(of(vec![unusable.clone()]), Err(KeySetError::Empty), "{unusable}");
        assert_eq!(of(vec![unusable.clone(), rsa.clone()]), Ok(1), "{unusable}");
    }
    let zeros = format!("AAAA{}", rsa["n"].as_str().unwrap());
    let token = Signer::of(Algorithm::Rs256).token(&json!({ "alg": "RS256" }), &json!({}));
    assert_eq!(check(&token, &set(&[over("n", json!(zeros))])), Ok(()));
    // Bound to another algorithm than the token's.
    assert_eq!(check(&token, &set(&[over("alg", json!("PS256"))])), Err(Refusal::UnknownKey));
}

#[test]
fn a_key_is_the_same_whatever_it_is_called() {
    let signer = Signer::of(Algorithm::Es384);
    let token = signer.token(&json!({ "alg": "ES384" }), &json!({}));
    let token = Token::read(&token).unwrap();
    let signer_in = |keys: &KeySet| keys.signer(Algorithm::Es384, None, token.signed, &token.signature).unwrap();
    let (before, after) = (set(&[signer.jwk("a")]), set(&[signer.jwk("b"), Signer::of(Algorithm::Es256).jwk("a")]));
    assert!(after.has(&signer_in(&before)) && before.has(&signer_in(&after)));
    assert!(!set(&[Signer::of(Algorithm::Es384).jwk("a")]).has(&signer_in(&before)));
}

fn issuers(changes: &[Value]) -> Result<(), String> {
    let issuer = |(index, change): (usize, &Value)| -> IssuerConfig {
        let mut issuer = json!({
            "name": format!("i{index}"), "issuer": format!("https://login.example.com/{index}"), "audiences": ["gateway"], "tenant": { "claim": "org" },
        });
        issuer.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(issuer).unwrap()
    };
    let issuers: Vec<_> = changes.iter().enumerate().map(issuer).collect();
    config::check(&issuers).map_err(|error| error.to_string())
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let good = json!({});
    assert_eq!(issuers(&[good.clone(), good.clone()]), Ok(()));
    let many = vec![good.clone(); 33];
    assert!(issuers(&many).unwrap_err().contains("more than 32") && issuers(&many[..32]).is_ok());
    for (change, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a:b" }), "name"),
        (json!({ "name": "i0" }), "name"),
        (json!({ "issuer": "" }), "issuer"),
        (json!({ "issuer": "https://login.example.com/0" }), "issuer"),
        (json!({ "issuer": "login.example.com" }), "issuer"),
        (json!({ "jwks_url": "http://login.example.com/keys" }), "jwks_url"),
        (json!({ "jwks_url": "http://192.168.0.7/keys" }), "jwks_url"),
        (json!({ "jwks_url": "https://user:secret@login.example.com/keys" }), "jwks_url"),
        (json!({ "jwks_url": "ftp://localhost/keys" }), "jwks_url"),
        (json!({ "audiences": [] }), "audiences"),
        (json!({ "audiences": [""] }), "audiences"),
        (json!({ "audiences": vec!["a"; 33] }), "audiences"),
        (json!({ "algorithms": [] }), "algorithms"),
        (json!({ "leeway": "6m" }), "leeway"),
        (json!({ "refresh": "500ms" }), "refresh"),
        (json!({ "stale": "1m" }), "stale"),
        (json!({ "timeout": "0s" }), "timeout"),
        (json!({ "timeout": "2m" }), "timeout"),
        (json!({ "tenant": { "fixed": "a b" } }), "tenant"),
        (json!({ "tenant": { "claim": "" } }), "tenant"),
        (json!({ "subject": [] }), "subject"),
        (json!({ "models": ["a", ""] }), "models"),
        (json!({ "require": [{ "claim": "scope", "contains": "" }] }), "require"),
        (json!({ "plans": [{ "claim": "", "contains": "a", "limits": {} }] }), "plans"),
        (json!({ "ca_file": "/nowhere.pem" }), "ca_file"),
    ] {
        let problem = issuers(&[good.clone(), change.clone()]).unwrap_err();
        assert!(problem.starts_with(&format!("`issuers[1].{field}` ")), "{change}: {problem}");
        assert!(!problem.contains("secret"), "{problem}");
    }
    for near in
        ["http://127.0.0.1:8080/k", "http://[::1]/k", "http://localhost/k", "http://dex/k", "http://dex.auth.svc/k"]
    {
        assert_eq!(issuers(&[json!({ "issuer": "ours", "jwks_url": near })]), Ok(()), "{near}");
    }
}

#[test]
fn unknown_settings_and_secret_algorithms_have_no_name() {
    let issuer = json!({ "name": "a", "issuer": "https://a", "audiences": ["b"], "tenant": { "fixed": "t" } });
    let config: IssuerConfig = serde_json::from_value(issuer.clone()).unwrap();
    assert_eq!(
        (config.algorithms.len(), config.leeway, config.stale),
        (9, Duration::from_secs(60), Duration::from_secs(86_400))
    );
    for (field, value) in [
        ("algorithms", json!(["HS256"])),
        ("algorithms", json!(["none"])),
        ("audience", json!("b")),
        ("tenant", json!({})),
    ] {
        let mut wrong = issuer.clone();
        wrong[field] = value;
        assert!(serde_json::from_value::<IssuerConfig>(wrong.clone()).is_err(), "{wrong}");
    }
}

proptest! {
    /// No text, however it looks, is taken for one that was signed.
    #[test]
    fn nothing_that_is_changed_is_let_through(at in 0_usize..400, to in "[A-Za-z0-9_.-]") {
        let signer = Signer::of(Algorithm::EdDsa);
        let keys = set(&[signer.jwk("k")]);
        let token = signer.token(&json!({ "alg": "EdDSA", "kid": "k" }), &json!({ "sub": "ann", "exp": 1 }));
        let at = at % token.len();
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assert_eq!(check(&changed, &keys).is_ok(), changed == token);
    }

    #[test]
    fn any_text_is_read_without_harm(text in "(eyJ)?[A-Za-z0-9_-]{0,40}\\.?[A-Za-z0-9_-]{0,40}\\.?.{0,40}", set in ".{0,100}") {
        let _ = Token::read(&text);
        let _ = KeySet::read(set.as_bytes());
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Documented {
    issuers: Vec<IssuerConfig>,
}

#[test]
fn what_the_documentation_shows_is_valid() {
    const PAGE: &str = include_str!("../../../../docs/identity.md");
    const EXAMPLE: &str = include_str!("../../../../deploy/local/edge.yaml");
    let blocks = PAGE.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    let commented =
        EXAMPLE.lines().skip_while(|line| !line.starts_with("# issuers:")).take_while(|line| !line.is_empty());
    let commented = commented.map(|line| format!("{}\n", &line[2..])).collect::<String>();
    let texts: Vec<_> = blocks.chain([commented.clone()]).collect();
    assert_eq!(texts.len(), 5);
    for text in texts {
        let Documented { mut issuers } = cloudach_service::config::parse(&text).unwrap();
        issuers.iter_mut().for_each(|issuer| issuer.ca_file = None);
        assert_eq!(config::check(&issuers), Ok(()), "{text}");
    }
    // What the example gives as defaults are the defaults.
    let least = json!({ "name": "a", "issuer": "https://a", "audiences": ["b"], "tenant": { "fixed": "t" } });
    let least: IssuerConfig = serde_json::from_value(least).unwrap();
    let Documented { issuers } = cloudach_service::config::parse(&commented).unwrap();
    let shown = &issuers[0];
    assert_eq!(
        (shown.leeway, shown.refresh, shown.stale, shown.timeout, &shown.subject, shown.unknown_tenants),
        (least.leeway, least.refresh, least.stale, least.timeout, &least.subject, least.unknown_tenants)
    );
    assert_eq!(shown.algorithms, least.algorithms);
}
