//! References between the parts of a schema: relative URIs (RFC 3986, section 5.2) and fragments. Nothing is fetched.

/// `reference` as seen from `base`, both without fragments.
pub(super) fn resolved(base: &str, reference: &str) -> String {
    if reference.is_empty() {
        return base.to_owned();
    }
    if scheme_end(reference).is_some() {
        return reference.to_owned();
    }
    let scheme = scheme_end(base).map_or("", |end| &base[..=end]);
    let rest = &base[scheme.len()..];
    if reference.starts_with("//") {
        return format!("{scheme}{reference}");
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            rest.split_at(end + 2)
        }
        None => ("", rest),
    };
    let path = path.split('?').next().unwrap_or_default();
    let merged = match reference.chars().next() {
        Some('/') => reference.to_owned(),
        Some('?') => format!("{path}{reference}"),
        _ => match path.rfind('/') {
            Some(slash) => format!("{}{reference}", &path[..=slash]),
            None if authority.is_empty() => reference.to_owned(),
            None => format!("/{reference}"),
        },
    };
    format!("{scheme}{authority}{}", without_dots(&merged))
}

/// A fragment's text with its `%xx` decoded, or nothing if that is no UTF-8.
pub(super) fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Where the colon after a scheme is.
fn scheme_end(uri: &str) -> Option<usize> {
    let end = uri.find(':')?;
    let scheme = &uri[..end];
    let starts = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    (starts && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))).then_some(end)
}

fn without_dots(path: &str) -> String {
    let (path, query) = match path.find('?') {
        Some(mark) => path.split_at(mark),
        None => (path, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let last = path.rsplit('/').next();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            _ => kept.push(segment),
        }
    }
    if matches!(last, Some("." | "..")) {
        kept.push("");
    }
    format!("{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_resolve_as_in_the_rfc() {
        let base = "http://a/b/c/d;p?q";
        for (reference, target) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../g", "http://a/g"),
            ("", base),
        ] {
            assert_eq!(resolved(base, reference), target, "{reference}");
        }
        assert_eq!(resolved("", "item.json"), "item.json");
        assert_eq!(resolved("http://a", "g"), "http://a/g");
        assert_eq!(resolved("urn:x:y", ""), "urn:x:y");
    }

    #[test]
    fn fragments_are_decoded() {
        assert_eq!(decoded("p%25q%C3%A9").as_deref(), Some("p%qé"));
        assert_eq!(decoded("%").as_deref(), None);
        assert_eq!(decoded("%ff").as_deref(), None);
        assert_eq!(decoded("%+1").as_deref(), None);
    }
}
