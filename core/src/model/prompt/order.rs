//! The order in which a chat's prompt is hashed, which is to be that of the model's chat template.

/// Place of a request's tools and documents among its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolsAt {
    /// In front of all messages, as the EPP hashes them.
    #[default]
    Front,
    /// Behind the system messages that the chat begins with.
    AfterSystem,
    /// In front of the last message of the user.
    BeforeLastUser,
}

/// Order in which the sections of a prompt are hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptOrder {
    /// Place of tools and documents.
    pub tools_at: ToolsAt,
    /// True if the options of the chat template change the prompt's head, so that they come first;
    /// else they are left out.
    pub options_lead: bool,
}
