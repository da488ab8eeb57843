//! The order in which prompts are hashed.

use picker_core::{InferenceRequest, PromptOrder, ToolsAt};
use wire::body::{Api, HashRules, Video, scan};

const ORDERS: [ToolsAt; 3] = [ToolsAt::Front, ToolsAt::AfterSystem, ToolsAt::BeforeLastUser];

fn ask(api: Api, body: &str, order: PromptOrder) -> InferenceRequest {
    let inference = scan(body.as_bytes(), api, Video::default()).unwrap();
    inference.ask(api, HashRules { model: "m", blocks_max: 1_000, order, ..HashRules::default() })
}

/// Returns the blocks that two bodies share, by each place of the tools.
fn shared(api: Api, one: &str, other: &str) -> [usize; 3] {
    ORDERS.map(|tools_at| {
        let order = PromptOrder { tools_at, ..PromptOrder::default() };
        let [one, other] = [one, other].map(|body| ask(api, body, order).chain.hashes);
        one.iter().zip(&other).take_while(|(one, other)| one == other).count()
    })
}

/// A text of so many blocks.
fn text(letter: &str, blocks: usize) -> String {
    letter.repeat(256 * blocks)
}

fn chat(tools: &str) -> String {
    let (system, asked, told) = (text("s", 2), text("a", 3), text("b", 4));
    format!(
        r#"{{"messages":[{{"role":"system","content":"{system}"}},{{"role":"user","content":"{asked}"}},
        {{"role":"assistant","content":"{told}"}},{{"role":"user","content":"and now?"}}],
        "tools":[{{"type":"function","function":{{"name":"{tools}"}}}}]}}"#
    )
}

#[test]
fn tools_are_hashed_where_the_template_prints_them() {
    let [one, other] = [chat("one"), chat("other")];
    assert_eq!(shared(Api::ChatCompletions, &one, &other), [0, 2, 9]);
    assert_eq!(shared(Api::ChatCompletions, &one, &one), [10, 10, 10]);
    // Documents stand with the tools.
    let documents = |body: &str| body.replace("\"tools\"", "\"documents\"");
    assert_eq!(shared(Api::ChatCompletions, &documents(&one), &documents(&other)), [0, 2, 9]);
}

#[test]
fn every_dialect_has_its_system_messages() {
    let system = text("s", 2);
    let anthropic = |tools| {
        format!(
            r#"{{"system":[{{"type":"text","text":"{system}"}}],"tools":[{{"name":"{tools}"}}],
            "messages":[{{"role":"user","content":"a"}}]}}"#
        )
    };
    assert_eq!(shared(Api::Messages, &anthropic("one"), &anthropic("other")), [0, 2, 2]);
    // In front as the EPP has it: behind the instructions.
    let responses = |tools| {
        format!(r#"{{"instructions":"{system}","tools":[{{"name":"{tools}"}}],"input":"a"}}"#)
    };
    assert_eq!(shared(Api::Responses, &responses("one"), &responses("other")), [2, 2, 2]);
    let developer = chat("one").replace("\"system\"", "\"developer\"");
    let other = chat("other").replace("\"system\"", "\"developer\"");
    assert_eq!(shared(Api::ChatCompletions, &developer, &other), [0, 2, 9]);
    // A chat without a message of the user has nothing to put tools in front of.
    let unasked = chat("one").replace("\"user\"", "\"tool\"");
    let other = chat("other").replace("\"user\"", "\"tool\"");
    assert_eq!(shared(Api::ChatCompletions, &unasked, &other), [0, 2, 2]);
}

#[test]
fn options_count_where_they_lead() {
    let with = |option: &str| chat("one").replacen('{', &format!("{{{option},"), 1);
    for (one, other) in [
        (r#""reasoning_effort":"low""#, r#""reasoning_effort":"high""#),
        (r#""chat_template_kwargs":{"a":1}"#, r#""chat_template_kwargs":{"a":2}"#),
        (r#""thinking":{"type":"enabled"}"#, r#""thinking":null"#),
    ] {
        for (options_lead, same) in [(false, true), (true, false)] {
            let order = PromptOrder { options_lead, ..PromptOrder::default() };
            let [one, other] = [one, other].map(|it| ask(Api::ChatCompletions, &with(it), order));
            let first = |request: &InferenceRequest| request.chain.hashes[0];
            assert_eq!(first(&one) == first(&other), same, "{one:?}");
            assert_ne!(one.head, other.head);
        }
    }
}

#[test]
fn what_changes_the_first_tokens_always_counts_and_the_rest_never() {
    let system = text("s", 2);
    let bare =
        |field: &str| format!(r#"{{{field}"messages":[{{"role":"user","content":"{system}"}}]}}"#);
    let plain = ask(Api::ChatCompletions, &bare(""), PromptOrder::default());
    assert_eq!(plain.head, None);
    for (field, same) in [
        (r#""chat_template":"{{ messages }}","#, false),
        (r#""add_special_tokens":true,"#, false),
        (r#""add_special_tokens":false,"#, true),
        (r#""response_format":{"type":"json_object"},"#, true),
        (r#""tool_choice":"none","#, true),
        (r#""parallel_tool_calls":false,"#, true),
        (r#""add_generation_prompt":false,"#, true),
        (r#""temperature":1,"stop":["x"],"seed":4,"logprobs":true,"#, true),
        (r#""tools":null,"documents":null,"chat_template":null,"#, true),
    ] {
        let with = ask(Api::ChatCompletions, &bare(field), PromptOrder::default());
        assert_eq!(with.chain == plain.chain, same, "{field}");
    }
    let text = |field: &str| format!(r#"{{{field}"prompt":"{system}"}}"#);
    let plain = ask(Api::Completions, &text(""), PromptOrder::default());
    for (value, same) in [("true", true), ("false", false)] {
        let body = text(&format!(r#""add_special_tokens":{value},"#));
        let with = ask(Api::Completions, &body, PromptOrder::default());
        assert_eq!(with.chain == plain.chain, same, "{value}");
    }
}

/// Wherever the tools stand, the same bytes are hashed.
#[test]
fn an_order_loses_nothing() {
    for body in [chat("one"), chat("one").replace("\"system\"", "\"user\"")] {
        let blocks = ORDERS.map(|tools_at| {
            let order = PromptOrder { tools_at, ..PromptOrder::default() };
            ask(Api::ChatCompletions, &body, order).chain.blocks
        });
        assert_eq!(blocks, [10; 3]);
    }
}
