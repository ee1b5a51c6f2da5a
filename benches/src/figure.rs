//! What was measured, round by round.

/// One quantity of one scenario.
#[derive(Debug, serde::Serialize)]
pub struct Figure {
    pub scenario: String,
    pub name: String,
    pub unit: &'static str,
    /// One of each round.
    pub values: Vec<f64>,
}

impl Figure {
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    pub fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub fn most(&self) -> f64 {
        self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// All of them, in the order in which they were first met.
#[derive(Debug, Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    pub fn note(&mut self, scenario: &str, name: &str, unit: &'static str, value: f64) {
        let known = self.0.iter_mut().find(|figure| figure.scenario == scenario && figure.name == name);
        match known {
            Some(figure) => figure.values.push(value),
            None => {
                let (scenario, name) = (scenario.to_owned(), name.to_owned());
                self.0.push(Figure { scenario, name, unit, values: vec![value] });
            }
        }
    }

    /// Notes figures of this scenario, of one of several cases, whose name stands before theirs.
    pub fn of<'a>(&'a mut self, scenario: &'a str, case: &'a str) -> Note<'a> {
        Note { figures: self, scenario, case }
    }

    pub fn all(&self) -> &[Figure] {
        &self.0
    }
}

/// Where figures of one case are noted.
#[derive(Debug)]
pub struct Note<'a> {
    figures: &'a mut Figures,
    scenario: &'a str,
    case: &'a str,
}

impl Note<'_> {
    pub fn figure(&mut self, name: &str, unit: &'static str, value: f64) {
        let name = if self.case.is_empty() { name.to_owned() } else { format!("{}: {name}", self.case) };
        self.figures.note(self.scenario, &name, unit, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
        let mut figures = Figures::default();
        for value in [9.0, 1.0, 5.0] {
            figures.note("s", "n", "ms", value);
        }
        assert!((figures.all()[0].median() - 5.0).abs() < 1e-9);
        figures.note("s", "n", "ms", 7.0);
        assert!((figures.all()[0].median() - 6.0).abs() < 1e-9);
        assert_eq!(figures.all().len(), 1);
    }
}
