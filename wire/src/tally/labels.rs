//! The labels that counts are told apart by.

use std::{borrow::Cow, cmp::Ordering, net::SocketAddr};

use serde::{Deserialize, Serialize};

use crate::names::{clip, order};

/// Longest label value, in bytes: a model's name has at most 255, and few have 60.
pub const LABEL_BYTES_MAX: usize = 128;

/// Value of the labels of all that has no place of its own.
pub const OTHER: &str = "other";

/// Labels of some counts, within one pool. The order of variants and fields is only one to search
/// by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Labels<'a> {
    /// No label beside the pool.
    Pool,
    /// A priority.
    Band(i32),
    /// A model under both names, a tenant and a priority: what the EPP tells requests apart by.
    Request {
        /// Model that the client asked for.
        #[serde(borrow)]
        asked: Cow<'a, str>,
        /// Model that the request was sent to.
        #[serde(borrow)]
        sent: Cow<'a, str>,
        /// Fairness id.
        #[serde(borrow)]
        tenant: Cow<'a, str>,
        /// Priority of the objective.
        priority: i32,
    },
    /// An endpoint that a model's requests were sent to; none for requests that were not sent.
    Attempt {
        /// Address of the endpoint that was ranked first.
        endpoint: Option<SocketAddr>,
        /// Model that the request was for.
        #[serde(borrow)]
        target: Cow<'a, str>,
    },
    /// A rule that sends one model's requests to another.
    Rewrite {
        /// Name of the rule.
        #[serde(borrow)]
        rewrite: Cow<'a, str>,
        /// Model that the client asked for.
        #[serde(borrow)]
        asked: Cow<'a, str>,
        /// Model that the request was sent to.
        #[serde(borrow)]
        target: Cow<'a, str>,
    },
    /// An endpoint that answers came from; none for those without a place of their own.
    Endpoint(Option<SocketAddr>),
    /// Requests that flow control holds, told apart as those of [`Labels::Request`].
    Waiting {
        /// Model that the client asked for.
        #[serde(borrow)]
        asked: Cow<'a, str>,
        /// Model that the request is to be sent to.
        #[serde(borrow)]
        sent: Cow<'a, str>,
        /// Fairness id.
        #[serde(borrow)]
        tenant: Cow<'a, str>,
        /// Priority of the objective.
        priority: i32,
    },
    /// An endpoint that a tenant's requests are on their way to; none for those without a place of their own.
    Sent {
        /// Address of the endpoint.
        endpoint: Option<SocketAddr>,
        /// Fairness id.
        #[serde(borrow)]
        tenant: Cow<'a, str>,
        /// Priority of the objective.
        priority: i32,
    },
    /// A plugin at one of the places where it runs.
    Plugin {
        /// Place in a request's life, as the EPP names it.
        #[serde(borrow)]
        point: Cow<'a, str>,
        /// Plugin type in an EndpointPickerConfig.
        #[serde(borrow)]
        plugin: Cow<'a, str>,
    },
    /// The model that requests were sent to.
    Model(#[serde(borrow)] Cow<'a, str>),
}

impl<'a> Labels<'a> {
    /// Returns the labels of a request; names that are too long are cut.
    #[must_use]
    pub fn request(asked: &'a str, sent: &'a str, tenant: &'a str, priority: i32) -> Self {
        let [asked, sent, tenant] = [asked, sent, tenant].map(|name| Cow::Borrowed(clipped(name)));
        Self::Request { asked, sent, tenant, priority }
    }

    /// Returns the labels of a request that waits; names that are too long are cut.
    #[must_use]
    pub fn waiting(asked: &'a str, sent: &'a str, tenant: &'a str, priority: i32) -> Self {
        let [asked, sent, tenant] = [asked, sent, tenant].map(|name| Cow::Borrowed(clipped(name)));
        Self::Waiting { asked, sent, tenant, priority }
    }

    /// Returns the labels of a tenant's requests on their way to an endpoint; a name that is too long is cut.
    #[must_use]
    pub fn sent(endpoint: SocketAddr, tenant: &'a str, priority: i32) -> Self {
        let tenant = Cow::Borrowed(clipped(tenant));
        Self::Sent { endpoint: Some(endpoint), tenant, priority }
    }

    /// Returns the labels of an attempt; a name that is too long is cut.
    #[must_use]
    pub fn attempt(endpoint: Option<SocketAddr>, target: &'a str) -> Self {
        Self::Attempt { endpoint, target: Cow::Borrowed(clipped(target)) }
    }

    /// Returns the labels of a rewrite; names that are too long are cut.
    #[must_use]
    pub fn rewrite(rewrite: &'a str, asked: &'a str, target: &'a str) -> Self {
        let [rewrite, asked, target] =
            [rewrite, asked, target].map(|name| Cow::Borrowed(clipped(name)));
        Self::Rewrite { rewrite, asked, target }
    }

    /// Returns the labels of a plugin; names that are too long are cut.
    #[must_use]
    pub fn plugin(point: &'a str, plugin: &'a str) -> Self {
        let [point, plugin] = [point, plugin].map(|name| Cow::Borrowed(clipped(name)));
        Self::Plugin { point, plugin }
    }

    /// Returns the labels of a model; a name that is too long is cut.
    #[must_use]
    pub fn model(name: &'a str) -> Self {
        Self::Model(Cow::Borrowed(clipped(name)))
    }

    /// Returns the labels under which those without a place of their own are counted together.
    /// Priorities are the operator's, so they stay.
    #[must_use]
    pub fn other(&self) -> Labels<'static> {
        let other = || Cow::Borrowed(OTHER);
        match self {
            Self::Pool => Labels::Pool,
            Self::Band(priority) => Labels::Band(*priority),
            Self::Request { priority, .. } => Labels::Request {
                asked: other(),
                sent: other(),
                tenant: other(),
                priority: *priority,
            },
            Self::Attempt { .. } => Labels::Attempt { endpoint: None, target: other() },
            Self::Rewrite { .. } => {
                Labels::Rewrite { rewrite: other(), asked: other(), target: other() }
            }
            Self::Endpoint(_) => Labels::Endpoint(None),
            Self::Waiting { priority, .. } => Labels::Waiting {
                asked: other(),
                sent: other(),
                tenant: other(),
                priority: *priority,
            },
            Self::Sent { priority, .. } => {
                Labels::Sent { endpoint: None, tenant: other(), priority: *priority }
            }
            Self::Plugin { .. } => Labels::Plugin { point: other(), plugin: other() },
            Self::Model(_) => Labels::Model(other()),
        }
    }

    /// Orders labels for a table, whatever the order: by their kind, and then as it takes the fewest steps.
    pub(super) fn order(&self, other: &Labels<'_>) -> Ordering {
        match (self, other) {
            (
                Self::Request { asked, sent, tenant, priority },
                Labels::Request { asked: a, sent: s, tenant: t, priority: p },
            ) => priority
                .cmp(p)
                .then_with(|| order(tenant, t))
                .then_with(|| order(asked, a))
                .then_with(|| order(sent, s)),
            (Self::Attempt { endpoint, target }, Labels::Attempt { endpoint: e, target: t }) => {
                endpoint.cmp(e).then_with(|| order(target, t))
            }
            (
                Self::Sent { endpoint, tenant, priority },
                Labels::Sent { endpoint: e, tenant: t, priority: p },
            ) => endpoint.cmp(e).then_with(|| priority.cmp(p)).then_with(|| order(tenant, t)),
            // Of two kinds, or without names. Rewrites, plugins and models by themselves are few.
            _ => self.cmp(other),
        }
    }

    /// Returns the labels with names of their own.
    #[must_use]
    pub fn into_owned(self) -> Labels<'static> {
        let own = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        match self {
            Self::Pool => Labels::Pool,
            Self::Band(priority) => Labels::Band(priority),
            Self::Request { asked, sent, tenant, priority } => Labels::Request {
                asked: own(asked),
                sent: own(sent),
                tenant: own(tenant),
                priority,
            },
            Self::Attempt { endpoint, target } => Labels::Attempt { endpoint, target: own(target) },
            Self::Rewrite { rewrite, asked, target } => {
                Labels::Rewrite { rewrite: own(rewrite), asked: own(asked), target: own(target) }
            }
            Self::Endpoint(endpoint) => Labels::Endpoint(endpoint),
            Self::Waiting { asked, sent, tenant, priority } => Labels::Waiting {
                asked: own(asked),
                sent: own(sent),
                tenant: own(tenant),
                priority,
            },
            Self::Sent { endpoint, tenant, priority } => {
                Labels::Sent { endpoint, tenant: own(tenant), priority }
            }
            Self::Plugin { point, plugin } => {
                Labels::Plugin { point: own(point), plugin: own(plugin) }
            }
            Self::Model(name) => Labels::Model(own(name)),
        }
    }
}

/// Cuts a name to [`LABEL_BYTES_MAX`], between two characters.
#[must_use]
pub fn clipped(name: &str) -> &str {
    clip(name, LABEL_BYTES_MAX)
}
