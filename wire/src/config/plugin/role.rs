//! The parts that a plugin can play where it is referred to.

use picker_core::{
    Decider,
    flow::{BandSelectionPolicy, FairnessPolicy, OrderingPolicy, UsageLimitKind, UsageLimitPolicy},
    saturation::{Detector, DetectorKind},
};

use super::Plugin;

/// Part that a plugin can play where it is referred to.
pub(in crate::config) trait Role: Clone {
    /// Types of plugin that can play it.
    const TYPES: &[&str];

    /// Returns the plugin in this part, if it can play it.
    fn from_plugin(plugin: &Plugin) -> Option<&Self>;
}

impl Role for FairnessPolicy {
    const TYPES: &[&str] = Self::NAMES;

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::Fairness(policy) = plugin { Some(policy) } else { None }
    }
}

impl Role for OrderingPolicy {
    const TYPES: &[&str] = Self::NAMES;

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::Ordering(policy) = plugin { Some(policy) } else { None }
    }
}

impl Role for UsageLimitPolicy {
    const TYPES: &[&str] = UsageLimitKind::NAMES;

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::UsageLimit(policy) = plugin { Some(policy) } else { None }
    }
}

impl Role for BandSelectionPolicy {
    const TYPES: &[&str] = Self::NAMES;

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::BandSelection(policy) = plugin { Some(policy) } else { None }
    }
}

impl Role for Detector {
    const TYPES: &[&str] = DetectorKind::NAMES;

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::Detector(detector) = plugin { Some(detector) } else { None }
    }
}

impl Role for Decider {
    const TYPES: &[&str] = &["always-disagg-pd-decider", "prefix-based-pd-decider"];

    fn from_plugin(plugin: &Plugin) -> Option<&Self> {
        if let Plugin::Decider(decider) = plugin { Some(decider) } else { None }
    }
}
