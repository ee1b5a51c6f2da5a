//! What a router orders to be loaded, made into the engine's command: only what the configuration allows, word by word.

use cloudach_proto::v1::LoadModel;

use crate::config::Managed;

/// The engine's command for the model that is ordered: `template` with the order filled in. No shell reads it.
pub(crate) fn command(template: &[String], managed: &Managed, order: &LoadModel) -> Result<Vec<String>, String> {
    if order.model.is_empty() || order.model.starts_with('-') {
        return Err(format!("`{}` is no name of a model", order.model));
    }
    check_source(managed, &order.source)?;
    check_arguments(managed, &order.arguments)?;
    if order.gpus as usize > managed.gpus.len() {
        return Err(format!("`{}` needs {} GPUs, and there are {} here", order.model, order.gpus, managed.gpus.len()));
    }
    let filled = template.iter().map(|word| fill(word, order));
    Ok(filled.chain(order.arguments.iter().cloned()).collect())
}

/// Whether it lies where things may be loaded from.
pub(crate) fn check_source(managed: &Managed, source: &str) -> Result<(), String> {
    let climbs = source.split('/').any(|part| part == "..");
    let allowed = managed.sources.iter().any(|allowed| source.starts_with(allowed.as_str()) && source != allowed);
    if climbs || source.starts_with('-') || source.contains('\0') || !allowed {
        return Err(format!("`{source}` may not be loaded here: `managed.sources` does not allow it"));
    }
    Ok(())
}

/// Each is a name that is allowed, alone, with `=` and its value, or before its value.
fn check_arguments(managed: &Managed, arguments: &[String]) -> Result<(), String> {
    let mut value_may_follow = false;
    for argument in arguments {
        if value_may_follow && !argument.starts_with('-') {
            value_may_follow = false;
            continue;
        }
        let name = argument.split_once('=').map_or(argument.as_str(), |(name, _)| name);
        if !name.starts_with('-') || argument.contains('\0') || !managed.arguments.iter().any(|allowed| allowed == name)
        {
            return Err(format!("the engine may not be given `{argument}`: `managed.arguments` does not allow it"));
        }
        value_may_follow = name == argument;
    }
    Ok(())
}

/// Fills in one word. What was filled in is not looked at again.
fn fill(word: &str, order: &LoadModel) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('{') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let gpus = order.gpus.to_string();
        let names = [("{source}", order.source.as_str()), ("{model}", &order.model), ("{gpus}", &gpus)];
        match names.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Gpu;

    fn managed() -> Managed {
        Managed {
            sources: vec!["/models/".into(), "Qwen/".into()],
            arguments: vec!["--max-model-len".into(), "--enforce-eager".into()],
            gpus: vec![Gpu { id: "g".into(), memory_mib: 1 }],
            sleeps: false,
            first_order: std::time::Duration::ZERO,
        }
    }

    fn ordered(source: &str, arguments: &[&str]) -> Result<String, String> {
        let template = ["vllm", "serve", "{source}", "--name={model}", "-tp", "{gpus}", "{\"backend\":1}"];
        let order = LoadModel {
            model: "a {source}".into(),
            source: source.into(),
            arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
            gpus: 1,
        };
        command(&template.map(str::to_owned), &managed(), &order).map(|words| words.join("|"))
    }

    #[test]
    fn an_order_fills_the_command_in() {
        let filled = ordered("/models/a b", &["--enforce-eager", "--max-model-len", "9", "--max-model-len=8"]);
        let whole = "vllm|serve|/models/a b|--name=a {source}|-tp|1|{\"backend\":1}|--enforce-eager|--max-model-len|9|--max-model-len=8";
        assert_eq!(filled.as_deref(), Ok(whole));
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        for source in ["", "/models/", "/models", "/etc/passwd", "/models/../etc", "-c", "other/m", "/models/a/.."] {
            assert!(ordered(source, &[]).is_err(), "{source}");
        }
        let refused: [&[&str]; 6] = [
            &["--trust-remote-code"],
            &["x"],
            &["--max-model-len", "1", "2"],
            &["--max-model-len=1", "2"],
            &["-x"],
            &[""],
        ];
        for arguments in refused {
            assert!(ordered("/models/a", arguments).is_err(), "{arguments:?}");
        }
        let order = LoadModel { model: "m".into(), source: "/models/a".into(), arguments: Vec::new(), gpus: 2 };
        assert!(command(&[], &managed(), &order).unwrap_err().contains("needs 2 GPUs"));
    }

    proptest! {
        #[test]
        fn no_order_changes_the_program_or_adds_a_name(source in ".{0,12}", words in prop::collection::vec("[-=a-z ]{0,18}", 0..5)) {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            if let Ok(filled) = ordered(&format!("/models/{source}"), &words) {
                prop_assert!(filled.starts_with("vllm|serve|/models/"));
                let names: Vec<_> = words.iter().filter(|word| word.starts_with('-')).collect();
                prop_assert!(names.iter().all(|name| name.starts_with("--max-model-len") || name.starts_with("--enforce-eager")));
            }
        }
    }
}
