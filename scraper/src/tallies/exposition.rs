//! The text of metric families, in OpenMetrics.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::SocketAddr,
};

use wire::tally::{Count, FamilyKind, Labels, Measure, Unit};

use super::former::{former_name, renamed};

/// The plugin that the EPP's prefix families name: the producer of prefix matches.
pub(super) const PREFIX_PLUGIN: [(&str, &str); 2] = [
    ("plugin_name", "approx-prefix-cache-producer"),
    ("plugin_type", "approx-prefix-cache-producer"),
];

/// The plugin that the EPP's family of stages names.
const DISAGG_PLUGIN: [(&str, &str); 2] =
    [("plugin_name", "disagg-profile-handler"), ("plugin_type", "disagg-profile-handler")];

/// The plugin that the EPP's families of what is in flight name.
const IN_FLIGHT_PRODUCER: (&str, &str) = ("producer_name", "inflight-load-producer");

/// Metric families with their samples: a family's samples stand together, whatever pool they are
/// of.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<&'static str, FamilyText>);

#[derive(Debug)]
struct FamilyText {
    help: &'static str,
    kind: &'static str,
    samples: String,
}

/// The place of a count: its pool, labels and measure.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) pool: &'a str,
    pub(super) labels: &'a Labels<'a>,
    pub(super) measure: Measure,
}

/// A gauge's name and help.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

impl Page {
    /// Adds a counter, or a histogram's series.
    pub(super) fn count(&mut self, sample: &Sample<'_>, count: &Count) {
        let family = sample.measure.family();
        let labels = sample.text();
        let name = family.name;
        match family.kind {
            FamilyKind::Counter => {
                let text = self.family(name, family.help, "counter");
                let _ = writeln!(text, "{name}_total{{{labels}}} {}", count.sum);
            }
            FamilyKind::Histogram(bounds) => {
                let text = self.family(name, family.help, "histogram");
                let mut values = 0_u64;
                let buckets = count.buckets.iter().chain(std::iter::repeat(&0));
                for (bound, more) in bounds.iter().zip(buckets) {
                    values += more;
                    let bound = Decimal { value: *bound, unit: family.unit };
                    let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound:?}\"}} {values}");
                }
                let all: u64 = count.buckets.iter().sum();
                let sum = Decimal { value: count.sum, unit: family.unit };
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}");
                let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}");
                let _ = writeln!(text, "{name}_count{{{labels}}} {all}");
            }
        }
    }

    /// Adds a gauge.
    pub(super) fn gauge(&mut self, gauge: Gauge, labels: &[(&str, &str)], value: f64) {
        let Gauge { name, help } = gauge;
        let text = self.family(name, help, "gauge");
        let labels = List(labels);
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }

    /// Adds a number of requests to a gauge.
    pub(super) fn requests(&mut self, gauge: Gauge, pool: &str, labels: &Labels<'_>, number: u64) {
        let Gauge { name, help } = gauge;
        let labels = Sample { pool, labels, measure: Measure::Requests }.text();
        let text = self.family(name, help, "gauge");
        let _ = writeln!(text, "{name}{{{labels}}} {number}");
    }

    fn family(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: &'static str,
    ) -> &mut String {
        let new = || FamilyText { help, kind, samples: String::new() };
        &mut self.0.entry(name).or_insert_with(new).samples
    }

    /// Returns the text, without the end that OpenMetrics wants behind all families. If asked for, each
    /// family that the EPP had under another name stands there under both.
    pub(super) fn into_text(self, has_former: bool) -> String {
        let mut text = String::new();
        let mut former = Self::default();
        for (name, FamilyText { help, kind, samples }) in self.0 {
            if let Some(twin) = former_name(name).filter(|_| has_former) {
                let samples = renamed(name, twin, &samples);
                former.0.insert(twin, FamilyText { help, kind, samples });
            }
            let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{samples}");
        }
        for (name, FamilyText { help, kind, samples }) in former.0 {
            let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }
}

impl Sample<'_> {
    /// Returns the labels, without braces.
    fn text(&self) -> String {
        let mut labels = vec![("inference_pool", self.pool)];
        let priority: String;
        let endpoint: [String; 2];
        match self.labels {
            Labels::Pool => (),
            Labels::Band(band) => {
                priority = band.to_string();
                labels.push(("priority", &priority));
            }
            Labels::Request { asked, sent, tenant, priority: band }
            | Labels::Waiting { asked, sent, tenant, priority: band } => {
                priority = band.to_string();
                labels.extend([("model_name", &**asked), ("target_model_name", sent)]);
                labels.extend([("fairness_id", &**tenant), ("priority", &priority)]);
            }
            Labels::Attempt { endpoint: address, target } => {
                endpoint = ip_and_port(*address);
                labels.extend(endpoint_labels(&endpoint));
                labels.push(("target_model_name", target));
            }
            Labels::Endpoint(address) => {
                endpoint = ip_and_port(*address);
                labels.extend(endpoint_labels(&endpoint));
            }
            Labels::Sent { endpoint: address, tenant, priority: band } => {
                priority = band.to_string();
                endpoint = ip_and_port(*address);
                labels.extend(endpoint_labels(&endpoint));
                labels.extend([("fairness_id", &**tenant), ("priority", &priority)]);
                labels.push(IN_FLIGHT_PRODUCER);
            }
            Labels::Plugin { point, plugin } => {
                labels.extend([("extension_point", &**point), ("plugin_type", plugin)]);
                labels.push(("plugin_name", plugin));
            }
            Labels::Model(name) => labels.push(("model_name", name)),
            Labels::Rewrite { rewrite, asked, target } => {
                labels.extend([("model_rewrite_name", &**rewrite), ("model_name", asked)]);
                labels.push(("target_model", target));
            }
        }
        if matches!(self.measure, Measure::HitRatio | Measure::HitBytes) {
            labels.extend(PREFIX_PLUGIN);
        }
        if matches!(self.measure, Measure::DisaggDecisions(_)) {
            labels.extend(DISAGG_PLUGIN);
        }
        labels.extend(self.measure.label());
        List(&labels).to_string()
    }
}

/// Returns the two parts of an address; empty ones without an address.
fn ip_and_port(address: Option<SocketAddr>) -> [String; 2] {
    let Some(address) = address else { return <[String; 2]>::default() };
    [address.ip().to_string(), address.port().to_string()]
}

/// Returns the labels that the EPP gives an endpoint.
fn endpoint_labels([ip, port]: &[String; 2]) -> [(&str, &str); 3] {
    [("endpoint_name", ip), ("namespace", ""), ("port", port)]
}

/// Labels, separated and escaped.
struct List<'a>(&'a [(&'a str, &'a str)]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{name}=\"")?;
            for char in value.chars() {
                match char {
                    '\\' => f.write_str("\\\\")?,
                    '"' => f.write_str("\\\"")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(char)?,
                }
            }
            f.write_char('"')?;
        }
        Ok(())
    }
}

/// A counted value in the unit that is shown; as a bound (`{:?}`) always with a fraction, as
/// OpenMetrics has it.
struct Decimal {
    value: u64,
    unit: Unit,
}

impl Decimal {
    /// Returns the whole part, what is beyond it, and the digits of that.
    fn parts(&self) -> (u64, u64, usize) {
        match self.unit {
            Unit::One => (self.value, 0, 0),
            Unit::Millionth => (self.value / 1_000_000, self.value % 1_000_000, 6),
            Unit::Billionth => (self.value / 1_000_000_000, self.value % 1_000_000_000, 9),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest, digits) = self.parts();
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{rest:0digits$}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest, _) = self.parts();
        if rest == 0 { write!(f, "{whole}.0") } else { write!(f, "{self}") }
    }
}
