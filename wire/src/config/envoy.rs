//! The ways into Envoy: what holds a request until its body is read, and how Envoy learns the
//! endpoint.

use std::{error::Error, fmt, str::FromStr};

use super::{At, ConfigError};

/// Settings of the way into Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyConfig {
    /// Way of a request through Envoy.
    pub way: Way,
    /// Bytes of a body at most; larger requests are refused. By default 32 MiB: a dozen photographs as
    /// data URLs.
    pub max_body_bytes: u64,
    /// Response header, in lower case, to which Envoy itself adds the address that a response came from. To
    /// ask Envoy for that address costs as much as to read all headers. `None` where Envoy adds none.
    pub served_by_header: Option<String>,
    /// True if access logs and spans are told each decision, as attributes of the stream.
    pub attributes: bool,
}

/// Way of a request through Envoy: a pair of settings that works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    hold: Hold,
    destination: Destination,
}

/// Place where a request's headers are held until its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Within this filter, which pauses at the headers; needs `allow_on_headers_stop_iteration`.
    StopIteration,
    /// Envoy's buffer filter, placed behind this one.
    BufferFilter,
}

/// Place where Envoy reads the chosen endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The request header `x-gateway-destination-endpoint`, read by an `override_host` cluster.
    Header,
    /// A property, of which Envoy's `header_mutation` makes that header.
    Property,
    /// Filter state that an `ORIGINAL_DST` cluster reads.
    FilterState,
}

/// Error that the buffer filter cannot go with the header: it holds a request behind this filter,
/// which can write no header any more once the body is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImpossibleWay;

/// Error that a text names no [`Hold`] or [`Destination`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName {
    what: &'static str,
    found: String,
    allowed: &'static [&'static str],
}

impl Default for EnvoyConfig {
    fn default() -> Self {
        let way = Way::STOP_ITERATION_HEADER;
        Self { way, max_body_bytes: 32 << 20, served_by_header: None, attributes: false }
    }
}

impl Way {
    /// Held by this filter, which writes a header.
    pub const STOP_ITERATION_HEADER: Self =
        Self { hold: Hold::StopIteration, destination: Destination::Header };
    /// Held by this filter, which sets a property.
    pub const STOP_ITERATION_PROPERTY: Self =
        Self { hold: Hold::StopIteration, destination: Destination::Property };
    /// Held by this filter, which sets filter state.
    pub const STOP_ITERATION_FILTER_STATE: Self =
        Self { hold: Hold::StopIteration, destination: Destination::FilterState };
    /// Held by Envoy's buffer filter; this filter sets a property.
    pub const BUFFER_FILTER_PROPERTY: Self =
        Self { hold: Hold::BufferFilter, destination: Destination::Property };
    /// Held by Envoy's buffer filter; this filter sets filter state.
    pub const BUFFER_FILTER_FILTER_STATE: Self =
        Self { hold: Hold::BufferFilter, destination: Destination::FilterState };

    /// Every way.
    pub const ALL: [Self; 5] = [
        Self::STOP_ITERATION_HEADER,
        Self::STOP_ITERATION_PROPERTY,
        Self::STOP_ITERATION_FILTER_STATE,
        Self::BUFFER_FILTER_PROPERTY,
        Self::BUFFER_FILTER_FILTER_STATE,
    ];

    /// Combines the two.
    ///
    /// # Errors
    /// For [`Hold::BufferFilter`] with [`Destination::Header`].
    pub const fn new(hold: Hold, destination: Destination) -> Result<Self, ImpossibleWay> {
        match (hold, destination) {
            (Hold::BufferFilter, Destination::Header) => Err(ImpossibleWay),
            (Hold::BufferFilter | Hold::StopIteration, _) => Ok(Self { hold, destination }),
        }
    }

    /// Returns the place where the request is held.
    #[must_use]
    pub const fn hold(self) -> Hold {
        self.hold
    }

    /// Returns the place where Envoy reads the endpoint.
    #[must_use]
    pub const fn destination(self) -> Destination {
        self.destination
    }

    /// True if Envoy can try a second endpoint when the first fails: an `ORIGINAL_DST` cluster
    /// knows one address only.
    #[must_use]
    pub const fn fails_over(self) -> bool {
        match self.destination {
            Destination::Header | Destination::Property => true,
            Destination::FilterState => false,
        }
    }
}

impl ImpossibleWay {
    const RULE: &str = "must not go with hold \"bufferFilter\", as headers can no longer be written \
                        once they went on; allowed: property, filterState";
}

impl Hold {
    /// Every place.
    pub const ALL: [Self; 2] = [Self::StopIteration, Self::BufferFilter];
    /// Names of all places, in the same order.
    pub const NAMES: [&str; 2] = ["stopIteration", "bufferFilter"];

    /// Returns the name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        let [stop_iteration, buffer_filter] = Self::NAMES;
        match self {
            Self::StopIteration => stop_iteration,
            Self::BufferFilter => buffer_filter,
        }
    }
}

impl Destination {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Header, Self::Property, Self::FilterState];
    /// Names of all places, in the same order.
    pub const NAMES: [&str; 3] = ["header", "property", "filterState"];

    /// Returns the name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        let [header, property, filter_state] = Self::NAMES;
        match self {
            Self::Header => header,
            Self::Property => property,
            Self::FilterState => filter_state,
        }
    }
}

impl FromStr for Hold {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|hold| hold.name() == text);
        found.ok_or_else(|| UnknownName {
            what: "hold",
            found: text.to_owned(),
            allowed: &Self::NAMES,
        })
    }
}

impl FromStr for Destination {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|destination| destination.name() == text);
        found.ok_or_else(|| UnknownName {
            what: "destination",
            found: text.to_owned(),
            allowed: &Self::NAMES,
        })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hold {}, destination {}", self.hold.name(), self.destination.name())
    }
}

impl fmt::Display for ImpossibleWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid destination \"header\": {}", Self::RULE)
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, found, allowed } = self;
        write!(f, "invalid {what} {found:?}: must be a known name; allowed: {}", allowed.join(", "))
    }
}

impl Error for ImpossibleWay {}

impl Error for UnknownName {}

pub(super) fn read(at: &At<'_>) -> Result<EnvoyConfig, ConfigError> {
    let object =
        at.object(&["hold", "destination", "maxBodyBytes", "servedByHeader", "attributes"])?;
    let EnvoyConfig { way, max_body_bytes, served_by_header, attributes } = EnvoyConfig::default();
    let holds = Hold::ALL.map(|hold| (hold.name(), hold));
    let destinations = Destination::ALL.map(|destination| (destination.name(), destination));
    let hold = object.read("hold", way.hold, |at| at.one_of(&holds))?;
    let destination = object.read("destination", way.destination, |at| at.one_of(&destinations))?;
    let way = Way::new(hold, destination).map_err(|ImpossibleWay| {
        object.refuse("destination", destination.name(), ImpossibleWay::RULE)
    })?;
    Ok(EnvoyConfig {
        way,
        max_body_bytes: object.read("maxBodyBytes", max_body_bytes, At::bytes)?,
        served_by_header: object
            .read("servedByHeader", served_by_header, |at| super::identity::header(at).map(Some))?,
        attributes: object.read("attributes", attributes, At::flag)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_are_the_pairs_that_work() {
        let pairs = Hold::ALL.into_iter().flat_map(|hold| Destination::ALL.map(|to| (hold, to)));
        let ways: Vec<Way> =
            pairs.filter_map(|(hold, destination)| Way::new(hold, destination).ok()).collect();
        assert_eq!(ways, Way::ALL);
    }

    #[test]
    fn names_read_back() {
        for way in Way::ALL {
            assert_eq!(way.hold().name().parse(), Ok(way.hold()));
            assert_eq!(way.destination().name().parse(), Ok(way.destination()));
        }
        let error = "cookie".parse::<Destination>().unwrap_err();
        insta::assert_snapshot!(error, @r#"invalid destination "cookie": must be a known name; allowed: header, property, filterState"#);
    }
}
