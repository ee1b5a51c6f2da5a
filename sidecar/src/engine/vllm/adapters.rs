//! Which adapters lie in the engine's slots for them, ready for its batch. It says which run, and how many slots there are;
//! those that ran last stay where they are until others need the place. No I/O.

use std::collections::BTreeSet;

/// More slots than an engine has.
const MOST: usize = 1000;

/// The slots, as far as is known from here.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// 0: the engine has not said.
    count: usize,
    /// Those in them, the one that was used last first.
    recent: Vec<String>,
    /// Those that were ordered into the engine: all others that requests name are models.
    loaded: BTreeSet<String>,
}

impl Slots {
    /// It is loaded, which puts it into a slot.
    pub(super) fn loaded(&mut self, name: &str) {
        self.loaded.insert(name.to_owned());
        self.touch(name);
    }

    /// A request asks for this model or adapter.
    pub(super) fn asked(&mut self, name: &str) {
        if self.loaded.contains(name) {
            self.touch(name);
        }
    }

    fn touch(&mut self, name: &str) {
        self.recent.retain(|other| other != name);
        self.recent.insert(0, name.to_owned());
        self.fit();
    }

    /// It is unloaded.
    pub(super) fn gone(&mut self, name: &str) {
        self.loaded.remove(name);
        self.recent.retain(|other| other != name);
    }

    /// The engine is another one.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Takes note of the engine's metrics.
    pub(super) fn note(&mut self, page: &str) {
        let Some((count, running)) = latest(page) else { return };
        self.count = count.min(MOST);
        for name in running.split(',').filter(|name| !name.is_empty()).take(MOST) {
            self.touch(name);
        }
        self.fit();
    }

    /// The adapters in the slots, and how many slots there are.
    pub(super) fn told(&self) -> (Vec<String>, u32) {
        match u32::try_from(self.count) {
            Ok(count) if count > 0 => (self.recent.clone(), count),
            _ => (Vec::new(), 0),
        }
    }

    fn fit(&mut self) {
        self.recent.truncate(if self.count > 0 { self.count } else { MOST });
    }
}

/// The number of slots, and the adapters that run, by name. There is a series for each that was ever true; its value is when.
fn latest(page: &str) -> Option<(usize, String)> {
    let series = page.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix("vllm:lora_requests_info{")?.rsplit_once('}')?;
        let at: f64 = value.split_whitespace().next()?.parse().ok()?;
        Some((labels, at)).filter(|(_, at)| at.is_finite())
    });
    let (labels, _) = series.max_by(|(_, one), (_, other)| one.total_cmp(other))?;
    Some((label(labels, "max_lora")?.parse().ok()?, label(labels, "running_lora_adapters")?))
}

/// The value of a label: `name="value",..`, where `\` stands before what is not to be taken as it is.
fn label(labels: &str, wanted: &str) -> Option<String> {
    let mut rest = labels;
    loop {
        let (name, behind) = rest.split_once("=\"")?;
        let (mut value, mut characters) = (String::new(), behind.char_indices());
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        if name.trim_start_matches([',', ' ']) == wanted {
            return Some(value);
        }
        rest = &behind[end + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(running: &str, waiting: &str, at: f64) -> String {
        format!(
            "vllm:lora_requests_info{{max_lora=\"2\",running_lora_adapters=\"{running}\",\
             waiting_lora_adapters=\"{waiting}\"}} {at:e}\n"
        )
    }

    #[test]
    fn the_latest_series_counts() {
        let page =
            format!("# TYPE x gauge\n{}{}{}", line("a", "", 1.5e9), line("b,c", "d", 1.7e9), line("", "", 1.6e9));
        assert_eq!(latest(&page), Some((2, "b,c".to_owned())));
        let odd = "vllm:lora_requests_info{x=\"1,y=\\\"2\\\"\", running_lora_adapters=\"a\\\\b\",max_lora=\"1\"} 1";
        assert_eq!(latest(odd), Some((1, "a\\b".to_owned())));
        for broken in [
            "",
            "vllm:lora_requests_info{} 1",
            "vllm:lora_requests_info{max_lora=\"1\"",
            "vllm:lora_requests_info{max_lora=\"x\",running_lora_adapters=\"a\"} 1",
            "vllm:lora_requests_info{max_lora=\"1\",running_lora_adapters=\"a\\",
            "vllm:lora_requests_info{max_lora=\"1\",running_lora_adapters=\"a\"} NaN",
        ] {
            assert_eq!(latest(broken), None, "{broken}");
        }
    }

    #[test]
    fn those_used_last_stay() {
        let mut slots = Slots::default();
        let told = |slots: &Slots| slots.told().0.join(" ");
        slots.asked("base");
        slots.loaded("a");
        assert_eq!(slots.told(), (vec![], 0), "the engine has said nothing of slots");
        slots.note(&line("", "", 1.0));
        assert_eq!(slots.told(), (vec!["a".to_owned()], 2));
        slots.loaded("b");
        slots.asked("a");
        slots.asked("base");
        slots.loaded("c");
        assert_eq!(told(&slots), "c a");
        slots.note(&line("d", "e", 2.0));
        assert_eq!(told(&slots), "d c", "who waits is not there yet");
        slots.gone("c");
        assert_eq!(told(&slots), "d");
        slots.forget();
        assert_eq!(slots.told(), (vec![], 0));
    }
}
