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
        median(self.values.clone())
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

/// What two builds came to in the same rounds.
#[derive(Debug)]
pub struct Compared {
    pub this: Figures,
    pub other: Figures,
}

/// One quantity of both.
#[derive(Debug)]
pub struct Pair<'a> {
    pub this: &'a Figure,
    pub other: &'a Figure,
    /// This one's part of the other's: the median over the rounds, each by itself.
    pub ratio: f64,
}

impl Compared {
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        self.this.all().iter().filter_map(|this| {
            let same = |other: &&Figure| other.scenario == this.scenario && other.name == this.name;
            let other = self.other.all().iter().find(same)?;
            let ratios = this.values.iter().zip(&other.values).map(|(this, other)| this / other).collect();
            Some(Pair { this, other, ratio: median(ratios) })
        })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
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

    #[test]
    fn a_ratio_is_that_of_the_middle_round() {
        let mut compared = Compared { this: Figures::default(), other: Figures::default() };
        // The machine was three times as slow in the second round.
        for (this, other) in [(9.0, 10.0), (27.0, 30.0), (5.0, 10.0)] {
            compared.this.note("s", "n", "us", this);
            compared.other.note("s", "n", "us", other);
        }
        compared.this.note("s", "nobody else's", "us", 1.0);
        let ratios: Vec<_> = compared.pairs().map(|pair| pair.ratio).collect();
        assert_eq!(ratios, [0.9]);
    }
}
