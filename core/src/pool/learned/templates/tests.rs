//! Stories of an engine whose template is learnt from what its answers say was cached.

use super::*;
use crate::model::{Section, Seed};

const SYSTEM: u32 = 4_000;
const TOOLS: u32 = 6_000;
const QUESTION: u32 = 1_000;

/// An engine with one endless cache, of which the template writes the sections in its own order.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "a setting each")]
struct Engine {
    system_first: bool,
    options_lead: bool,
    /// True if another gateway sends everything here before we do.
    is_shared: bool,
    /// Number of prompts after which the template is another; 0 for never.
    turns_at: usize,
    cached: Vec<(u64, u64, u64)>,
}

impl Engine {
    /// Returns the bytes of a prompt that are cached, and caches it.
    fn serve(&mut self, prompt: (u64, u64, u64)) -> u32 {
        let (system, tools, options) = prompt;
        if self.turns_at > 0 && self.cached.len() == self.turns_at {
            self.system_first = !self.system_first;
        }
        let bytes = |other: &(u64, u64, u64)| {
            if self.options_lead && other.2 != options {
                return 0;
            }
            match (self.system_first, other.0 == system, other.1 == tools) {
                (_, true, true) => SYSTEM + TOOLS,
                (true, true, false) => SYSTEM,
                (false, false, true) => TOOLS,
                _ => 0,
            }
        };
        let most = self.cached.iter().map(bytes).max().unwrap_or(0);
        self.cached.push(prompt);
        if self.is_shared { SYSTEM + TOOLS + QUESTION } else { most }
    }
}

fn at(seconds: f64) -> Instant {
    Instant::from_nanos(1) + Duration::from_secs_f64(seconds)
}

fn section(number: u64, bytes: u32) -> Section {
    let mut section = Section::default();
    let text = number.to_le_bytes().repeat(usize::try_from(bytes / 8).unwrap());
    section.add(if number == 0 { &[] } else { &text });
    section
}

/// Sends prompts to one endpoint, a tenth of a second apart; what the index would find is what the engine
/// has cached by the believed order. Returns the order that is believed after each.
fn told(engine: &mut Engine, prompts: &[(u64, u64, u64)]) -> Vec<PromptOrder> {
    let mut templates = Templates::new(7);
    let mut believed = Engine::default();
    let mut told = Vec::new();
    for (number, prompt) in prompts.iter().enumerate() {
        let order = templates.order("m");
        let (system, tools, options) = *prompt;
        let sections = [section(system, SYSTEM), section(tools, TOOLS), section(options, 80)];
        let head = PromptHead::new(&Seed::default(), order, sections);
        believed.system_first = order.tools_at != ToolsAt::Front;
        believed.options_lead = order.options_lead;
        let now = at(number as f64 / 10.0);
        let sent = HeadSent {
            slot: Slot(1),
            prompt: f64::from(SYSTEM + TOOLS + QUESTION),
            matched: believed.serve(*prompt).into(),
            keeps_for: f64::INFINITY,
            at: now,
        };
        let trial = templates.sent("m", &head, sent);
        templates.computed(Slot(1), &head, now);
        let usage = TokenUsage {
            prompt: (SYSTEM + TOOLS + QUESTION) / 5,
            cached: Some(engine.serve(*prompt) / 5),
            output: 1,
        };
        if let Some(trial) = trial {
            templates.answered(&trial, usage, now);
        }
        told.push(templates.order("m"));
    }
    told
}

/// Returns prompts of which each has tools of its own behind one of two system messages.
fn tool_sets(count: u64) -> Vec<(u64, u64, u64)> {
    (0..count).map(|number| (1 + number % 2, 10 + number, 0)).collect()
}

/// Returns prompts with system messages of their own, and one set of tools.
fn system_messages(count: u64) -> Vec<(u64, u64, u64)> {
    (0..count).map(|number| (10 + number, 1, 0)).collect()
}

#[test]
fn a_system_message_that_is_cached_behind_other_tools_comes_first() {
    let mut engine = Engine { system_first: true, ..Engine::default() };
    let told = told(&mut engine, &tool_sets(40));
    let front = told.iter().take_while(|order| order.tools_at == ToolsAt::Front).count();
    assert!((9..14).contains(&front), "{front}");
    assert!(told[front..].iter().all(|order| order.tools_at == ToolsAt::AfterSystem));
}

#[test]
fn tools_that_come_first_are_believed_to() {
    for prompts in [tool_sets(200), system_messages(200)] {
        let told = told(&mut Engine::default(), &prompts);
        assert!(told.iter().all(|order| *order == PromptOrder::default()));
    }
}

/// A model that is served anew by another template.
#[test]
fn a_belief_that_comes_false_is_given_up() {
    let mut engine = Engine { system_first: true, turns_at: 20, ..Engine::default() };
    let mut prompts = tool_sets(20);
    prompts.extend(system_messages(1_000));
    let told = told(&mut engine, &prompts);
    assert_eq!(told[19].tools_at, ToolsAt::AfterSystem);
    assert_eq!(told[500].tools_at, ToolsAt::AfterSystem, "within a minute");
    assert_eq!(told.last().unwrap().tools_at, ToolsAt::Front);
}

#[test]
fn what_another_gateway_sent_proves_nothing() {
    let mut engine = Engine { is_shared: true, ..Engine::default() };
    let told = told(&mut engine, &tool_sets(200));
    assert!(told.iter().all(|order| order.tools_at == ToolsAt::Front));
}

#[test]
fn options_lead_where_prompts_with_others_share_nothing() {
    // Six conversations, each under options of its own choice now and then.
    let prompts: Vec<_> =
        (0..200).map(|number| (1, 1 + number % 6, 1 + (number / 6) * 7 % 40)).collect();
    for options_lead in [true, false] {
        let mut engine = Engine { system_first: true, options_lead, ..Engine::default() };
        let told = told(&mut engine, &prompts);
        assert_eq!(told.last().unwrap().options_lead, options_lead);
        let changes = told.windows(2).filter(|pair| pair[0].options_lead != pair[1].options_lead);
        assert_eq!(changes.count(), usize::from(options_lead), "and stay so");
    }
}

#[test]
fn models_out_of_use_make_room_and_those_in_use_do_not() {
    let mut templates = Templates::new(7);
    let now = at(0.0);
    let in_use = templates.key("in use");
    assert!(templates.template(in_use, now).is_some());
    let model = |number: u64| 1_000 + number;
    for number in 0..1_000 {
        let _ = templates.template(model(number), now);
    }
    assert_eq!(templates.models.len(), MODELS_MAX);
    assert!(templates.models.iter().any(|it| it.model == in_use));
    assert!(templates.template(5, at(59.0)).is_none());
    assert!(templates.template(5, at(60.0)).is_some());
    assert_eq!(templates.models.len(), MODELS_MAX);
}

#[test]
fn short_sections_and_unknown_usage_prove_nothing() {
    let order = PromptOrder::default();
    let mut templates = Templates::new(7);
    let mut trial = |tools: u64, system_bytes: u32| {
        let sections = [section(1, system_bytes), section(tools, TOOLS), Section::default()];
        let head = PromptHead::new(&Seed::default(), order, sections);
        let now = at(1.0);
        let sent =
            HeadSent { slot: Slot(0), prompt: 9_000.0, matched: 0.0, keeps_for: 9.0, at: now };
        let trial = templates.sent("m", &head, sent);
        templates.computed(Slot(0), &head, now);
        trial
    };
    assert_eq!(trial(1, 1_016), None);
    assert_eq!(trial(2, 1_016), None, "too short a system message");
    assert_eq!(trial(3, SYSTEM), None, "not seen before");
    let made = trial(4, SYSTEM).unwrap();
    for _ in 0..20 {
        let usage = TokenUsage { prompt: 1_000, cached: None, output: 1 };
        templates.answered(&made, usage, at(2.0));
        templates.answered(&made, TokenUsage { cached: Some(9), ..TokenUsage::default() }, at(2.0));
    }
    assert!(templates.models.is_empty());
}
