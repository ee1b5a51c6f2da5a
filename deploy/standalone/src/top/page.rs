//! A page of metrics in the OpenMetrics text format, as far as it is needed here: samples with their labels.

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// All samples of one process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page(pub Vec<Sample>);

impl Sample {
    /// The value of a label. Empty: it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

impl Page {
    /// Reads a page. What cannot be read of it is passed over.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The samples with this name.
    pub fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }

    /// Their sum.
    pub fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// What stands in braces, and what follows them.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, character) in quoted.char_indices() {
            match character {
                'n' if escaped => value.push('\n'),
                character if escaped => value.push(character),
                '\\' => {}
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                character => value.push(character),
            }
            escaped = !escaped && character == '\\';
        }
        labels.push((name.to_owned(), value));
        rest = &quoted[end?..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_nothing_else() {
        let page = Page::parse(
            "# HELP a_total what it is\na_total{model=\"m\",outcome=\"Served\"} 3 # {trace_id=\"x\"} 1\n\
             a_total{model=\"q\\\"},\\n\\\\\"} 4.5\nb 1e3 1700000000\nbroken{model=\"\nbroken{x=\"1\"}\nnone\n# EOF\n",
        );
        assert_eq!(page.sum("a_total"), 7.5);
        let names: Vec<_> = page.of("a_total").map(|sample| sample.label("model")).collect();
        assert_eq!(names, ["m", "q\"},\n\\"]);
        assert_eq!((page.sum("b"), page.0.len()), (1000.0, 3));
        assert_eq!(page.0[0].label("none"), "");
    }
}
