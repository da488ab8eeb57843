//! The ways into Envoy: how a request is held, and how the choice is told.

use std::fmt;

use anyhow::{Result, bail};
use clap::ValueEnum;

/// What holds a request's headers until its body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hold {
    /// The filter itself, with `allow_on_headers_stop_iteration`.
    #[value(name = "stopIteration", alias = "stop-iteration")]
    StopIteration,
    /// Envoy's buffer filter, placed after ours.
    #[value(name = "bufferFilter", alias = "buffer-filter")]
    BufferFilter,
}

/// How Envoy learns the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Destination {
    /// A request header, read by an `override_host` cluster.
    Header,
    /// A property that `header_mutation` turns into that header.
    Property,
    /// The filter state of an `ORIGINAL_DST` cluster.
    #[value(name = "filterState", alias = "filter-state")]
    FilterState,
}

/// A pair of the two that works: once the buffer filter holds the headers, ours can no longer write any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `stopIteration` and `header`.
    StopIterationHeader,
    /// `stopIteration` and `property`.
    StopIterationProperty,
    /// `stopIteration` and `filterState`.
    StopIterationFilterState,
    /// `bufferFilter` and `property`.
    BufferFilterProperty,
    /// `bufferFilter` and `filterState`.
    BufferFilterFilterState,
}

impl Way {
    /// Every way there is.
    pub const ALL: [Self; 5] = [
        Self::StopIterationHeader,
        Self::StopIterationProperty,
        Self::StopIterationFilterState,
        Self::BufferFilterProperty,
        Self::BufferFilterFilterState,
    ];

    /// The way that combines the two, or why there is none.
    pub fn new(hold: Hold, destination: Destination) -> Result<Self> {
        Ok(match (hold, destination) {
            (Hold::StopIteration, Destination::Header) => Self::StopIterationHeader,
            (Hold::StopIteration, Destination::Property) => Self::StopIterationProperty,
            (Hold::StopIteration, Destination::FilterState) => Self::StopIterationFilterState,
            (Hold::BufferFilter, Destination::Property) => Self::BufferFilterProperty,
            (Hold::BufferFilter, Destination::FilterState) => Self::BufferFilterFilterState,
            (Hold::BufferFilter, Destination::Header) => bail!(
                "hold bufferFilter cannot go with destination header: the headers have left the filter \
                 when the body is read. Allowed with it: property, filterState"
            ),
        })
    }

    /// The plugin's `envoy.hold`.
    #[must_use]
    pub const fn hold(self) -> &'static str {
        match self {
            Self::StopIterationHeader
            | Self::StopIterationProperty
            | Self::StopIterationFilterState => "stopIteration",
            Self::BufferFilterProperty | Self::BufferFilterFilterState => "bufferFilter",
        }
    }

    /// The plugin's `envoy.destination`.
    #[must_use]
    pub const fn destination(self) -> &'static str {
        match self {
            Self::StopIterationHeader => "header",
            Self::StopIterationProperty | Self::BufferFilterProperty => "property",
            Self::StopIterationFilterState | Self::BufferFilterFilterState => "filterState",
        }
    }

    /// Whether Envoy can try a second endpoint when the first fails.
    #[must_use]
    pub const fn fails_over(self) -> bool {
        match self {
            Self::StopIterationHeader
            | Self::StopIterationProperty
            | Self::BufferFilterProperty => true,
            Self::StopIterationFilterState | Self::BufferFilterFilterState => false,
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hold {}, destination {}", self.hold(), self.destination())
    }
}
