//! The text format as Python's client library writes it.

use std::{collections::HashMap, fmt::Write, sync::LazyLock};

use crate::engine_core::histogram::Histogram;

/// Labels in the order in which they are printed.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Help text of each family as a real page has it: a name, a space, the text.
static HELP: LazyLock<HashMap<&str, &str>> =
    LazyLock::new(|| include_str!("help.txt").lines().filter_map(|l| l.split_once(' ')).collect());

/// A page being written.
#[derive(Debug)]
pub(super) struct Exposition {
    text: String,
    created: f64,
}

impl Exposition {
    /// Returns an empty page of a process that began at `created`, Unix time in seconds.
    pub(super) fn new(created: f64) -> Self {
        /// Bytes of a page: one with everything on it is a little smaller.
        const SIZE: usize = 64 << 10;
        Self { text: String::with_capacity(SIZE), created }
    }

    /// Returns the text of the page.
    pub(super) fn finish(self) -> String {
        self.text
    }

    /// Returns the Unix time of the start, in seconds.
    pub(super) const fn created(&self) -> f64 {
        self.created
    }

    /// Writes the two lines before the samples of a family.
    pub(super) fn family(&mut self, name: &str, kind: &str) {
        self.described(name, name, kind);
    }

    /// Writes these lines with the words of another family.
    fn described(&mut self, name: &str, like: &str, kind: &str) {
        let help = HELP.get(like).copied().unwrap_or_default();
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Writes a sample.
    pub(super) fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let open = if index == 0 { '{' } else { ',' };
            self.push(format_args!("{open}{label}=\"{value}\""));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let value = number(value);
        self.push(format_args!("{close} {value}\n"));
    }

    /// Writes a gauge.
    pub(super) fn gauge(&mut self, name: &str, samples: &[(Labels<'_>, f64)]) {
        self.family(name, "gauge");
        for (labels, value) in samples {
            self.sample(name, labels, *value);
        }
    }

    /// Writes a counter, and when it began. `name` is without `_total`.
    pub(super) fn counter(&mut self, name: &str, samples: &[(Labels<'_>, f64)]) {
        let total = format!("{name}_total");
        self.family(&total, "counter");
        for (labels, value) in samples {
            self.sample(&total, labels, *value);
        }
        let labels: Vec<Labels<'_>> = samples.iter().map(|(labels, _)| *labels).collect();
        self.began(name, &total, &labels);
    }

    /// Writes histograms of one family, each with its labels, and when they began.
    pub(super) fn histogram(&mut self, name: &str, histograms: &[(Labels<'_>, &Histogram)]) {
        self.family(name, "histogram");
        let (bucket, count, sum) =
            (format!("{name}_bucket"), format!("{name}_count"), format!("{name}_sum"));
        for (labels, histogram) in histograms {
            for (bound, count) in histogram.cumulative() {
                let bound = number(bound);
                let mut labels = labels.to_vec();
                labels.push(("le", &bound));
                labels.sort_unstable();
                self.sample(&bucket, &labels, count as f64);
            }
            self.sample(&count, labels, histogram.count() as f64);
            self.sample(&sum, labels, histogram.sum());
        }
        let labels: Vec<Labels<'_>> = histograms.iter().map(|(labels, _)| *labels).collect();
        self.began(name, name, &labels);
    }

    /// Writes the `_created` family of a counter, histogram or summary, in the words of `like`.
    pub(super) fn began(&mut self, name: &str, like: &str, labels: &[Labels<'_>]) {
        let name = format!("{name}_created");
        self.described(&name, like, "gauge");
        for labels in labels {
            self.sample(&name, labels, self.created);
        }
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = self.text.write_fmt(text);
    }
}

/// Returns a number as Go and Python's client print it: `8.0`, `2.5e+09`, `+Inf`.
fn number(value: f64) -> String {
    /// Number of digits after which the point moves: from ten to the sixth on.
    const PLAIN: usize = 6;
    if value.is_infinite() {
        return "+Inf".to_owned();
    }
    let plain = format!("{value:?}");
    match plain.split_once('.') {
        Some((whole, part)) if whole.len() > PLAIN && value > 0.0 => {
            let (first, rest) = whole.split_at(1);
            let mantissa = format!("{first}.{rest}{part}");
            let mantissa = mantissa.trim_end_matches(['0', '.']);
            format!("{mantissa}e+{:02}", whole.len() - 1)
        }
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_look_as_pythons_client_prints_them() {
        let values =
            [0.0, 8.0, 0.1859, 989.0, 123_456.0, 1_234_567.5, 2_768_306_176.0, f64::INFINITY];
        insta::assert_snapshot!(values.map(number).join(" "), @"0.0 8.0 0.1859 989.0 123456.0 1.2345675e+06 2.768306176e+09 +Inf");
    }
}
