//! `{% generation %}` blocks, which mark the assistant's words for training and mean nothing here.
//!
//! The template engine does not know the tag, so that its name is replaced in the source by that of a
//! block which only opens a scope, as the reference's does. Lines stay where they were.

use std::borrow::Cow;

/// The source with each `{% generation %}` block turned into a plain scope.
pub(super) fn without_generation_tags(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = tag_end(tag);
        match tag_name(&tag[..end]) {
            Some("generation") => out.push_str(&tag[..end].replacen("generation", "with", 1)),
            Some("endgeneration") => out.push_str(&tag[..end].replacen("endgeneration", "endwith", 1)),
            Some("raw") => {
                let raw_end = raw_end(tag, end);
                out.push_str(&tag[..raw_end]);
                rest = &tag[raw_end..];
                continue;
            }
            _ => out.push_str(&tag[..end]),
        }
        rest = &tag[end..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The word right after `{%`.
fn tag_name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.trim_start_matches(['-', '+']).trim_start();
    inner.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Where the tag, expression or comment ends that the text begins with; quotes hide its end mark.
fn tag_end(tag: &str) -> usize {
    if tag.starts_with("{#") {
        return tag.find("#}").map_or(tag.len(), |at| at + 2);
    }
    let end_mark = if tag.starts_with("{%") { "%}" } else { "}}" };
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in tag.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if tag[at..].starts_with(end_mark) => return at + end_mark.len(),
            None => {}
        }
    }
    tag.len()
}

/// Where the raw block ends whose opening tag reaches to `from`.
fn raw_end(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(found) = text[at..].find("{%") {
        let start = at + found;
        if tag_name(&text[start..]) == Some("endraw") {
            return start;
        }
        at = start + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::without_generation_tags;

    #[test]
    fn only_real_generation_tags_change() {
        let cases = [
            ("{% generation %}x{%- endgeneration -%}", "{% with %}x{%- endwith -%}"),
            ("{%-generation-%}\n{% endgeneration %}", "{%-with-%}\n{% endwith %}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            (r"{{ 'it\'s }} {% generation %}' }}", r"{{ 'it\'s }} {% generation %}' }}"),
            ("{% raw %}{% generation %}{% endraw %}", "{% raw %}{% generation %}{% endraw %}"),
            ("{% if add_generation_prompt %}", "{% if add_generation_prompt %}"),
            ("{% generation", "{% with"),
            ("generation {{", "generation {{"),
        ];
        for (source, expected) in cases {
            assert_eq!(without_generation_tags(source), expected);
        }
    }
}
