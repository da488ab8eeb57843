//! A plugin: one configuration of the module, as one listener's filter has it.

/// A `PluginConfig`. Plugins of one Envoy share a VM per worker, each with its own root context.
#[derive(Debug, Clone)]
pub struct Plugin {
    pub(crate) name: String,
    pub(crate) root_id: String,
    pub(crate) config: Vec<u8>,
    pub(crate) stop_iteration: bool,
    pub(crate) fail_policy: FailPolicy,
    pub(crate) buffer_filter: Option<usize>,
}

/// Envoy's `failure_policy`: the fate of a stream when its worker's VM is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailPolicy {
    /// 503 for ever. Envoy's default.
    #[default]
    Close,
    /// The filter is bypassed for ever.
    Open,
    /// The next request starts a new VM.
    Reload,
}

impl Plugin {
    /// Returns a plugin with the JSON (or whatever the module reads) of `configuration`.
    #[must_use]
    pub fn new(name: &str, configuration: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            root_id: name.to_owned(),
            config: configuration.into(),
            stop_iteration: false,
            fail_policy: FailPolicy::Close,
            buffer_filter: None,
        }
    }

    /// Sets Envoy's `root_id`; the plugin's name unless given.
    #[must_use]
    pub fn root_id(mut self, root_id: &str) -> Self {
        root_id.clone_into(&mut self.root_id);
        self
    }

    /// Sets Envoy's `allow_on_headers_stop_iteration`. False, the default: Pause on headers also
    /// keeps the body from the filter until the filter resumes the stream.
    #[must_use]
    pub const fn allow_on_headers_stop_iteration(mut self, allow: bool) -> Self {
        self.stop_iteration = allow;
        self
    }

    /// Sets Envoy's `failure_policy`.
    #[must_use]
    pub const fn fail_policy(mut self, policy: FailPolicy) -> Self {
        self.fail_policy = policy;
        self
    }

    /// Puts Envoy's buffer filter after this one: it holds the headers until the body is whole and
    /// answers 413 above `max_request_bytes`.
    #[must_use]
    pub const fn then_buffer_filter(mut self, max_request_bytes: usize) -> Self {
        self.buffer_filter = Some(max_request_bytes);
        self
    }
}
