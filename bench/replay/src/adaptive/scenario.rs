//! The scenarios: pods, requests, load over time, and what goes wrong.

use std::time::Duration;

use sim::engine_core::Cost;

use crate::fleet::Pod;

/// Range of a number of tokens, from which it is drawn evenly in its logarithm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range(pub(super) f64, pub(super) f64);

/// Requests of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Tokens of the prompts.
    pub(super) prompt: Range,
    /// Tokens of the answers.
    pub(super) answer: Range,
}

/// A fault in a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    None,
    /// The second pod takes four times as long for everything.
    Slow,
    /// The second pod dies and comes back empty.
    Restart,
    /// No metrics come.
    NoPages,
}

/// A scenario.
#[derive(Clone, Debug)]
pub(super) struct GateScenario {
    pub(super) name: &'static str,
    pub(super) pods: Vec<Pod>,
    pub(super) interactive: Kind,
    pub(super) batch: Kind,
    /// Share of batch requests with a prompt of 200,000 tokens.
    pub(super) giants: f64,
    /// Length of a phase of the load.
    pub(super) unit: Duration,
    pub(super) fault: Fault,
    /// Time from which to which that goes wrong.
    pub(super) wrong: (Duration, Duration),
    /// Age of the metrics when they come, at the least and at the most.
    pub(super) delay: (Duration, Duration),
    pub(super) gateways: usize,
    /// Share of the load that comes past the gateways.
    pub(super) strangers: f64,
    /// Interactive requests that come together.
    pub(super) burst: usize,
}

impl GateScenario {
    /// Returns the phases: each one's end and its load, in multiples of the capacity.
    pub(super) fn phases(&self) -> [(Duration, f64); 5] {
        let at = |units: f64| self.unit.mul_f64(units);
        [(at(1.0), 0.9), (at(2.0), 1.5), (at(3.0), 0.3), (at(4.5), 2.0), (at(5.0), 0.6)]
    }

    /// Returns the load at a moment; `None` at the end.
    pub(super) fn load(&self, now: Duration) -> Option<f64> {
        self.phases().into_iter().find(|(until, _)| now < *until).map(|(_, load)| load)
    }

    /// True while more comes than the pods end.
    pub(super) fn is_overload(&self, now: Duration) -> bool {
        self.load(now).is_some_and(|load| load >= 1.0)
    }

    /// Returns the time at which the run ends.
    pub(super) fn end(&self) -> Duration {
        self.unit.mul_f64(5.0)
    }

    /// True while metrics do not come.
    pub(super) fn is_blind(&self, now: Duration) -> bool {
        self.fault == Fault::NoPages && now >= self.wrong.0 && now < self.wrong.1
    }

    /// Returns a tenth of it.
    pub(super) fn shorter(self) -> Self {
        let (from, until) = self.wrong;
        let wrong = (from / 10, until / 10);
        Self { unit: self.unit / 10, wrong, ..self }
    }
}

/// A pod in the size of [`Pod::H100`].
const fn pod(max_running: usize, kv_tokens: usize) -> Pod {
    Pod { max_running, kv_tokens, ..Pod::H100 }
}

/// A pod on a processor: 60 ms a step, 4 ms for each decoding request and 1 ms for each prompt token.
const fn slow_pod(max_running: usize) -> Pod {
    let cost = Cost {
        step: Duration::from_millis(60),
        prefill_token: Duration::from_millis(1),
        decode: Duration::from_millis(4),
        ..Pod::H100.cost
    };
    Pod { cost, max_step_tokens: 2_048, ..pod(max_running, 200_000) }
}

/// KV cache that is never full.
const AMPLE: usize = 4_000_000;

fn kind(prompt: (f64, f64), answer: (f64, f64)) -> Kind {
    Kind { prompt: Range(prompt.0, prompt.1), answer: Range(answer.0, answer.1) }
}

fn of_pods(name: &'static str, pods: Vec<Pod>, batch: Kind, unit: u64) -> GateScenario {
    GateScenario {
        name,
        pods,
        interactive: kind((100.0, 600.0), (20.0, 150.0)),
        batch,
        giants: 0.0,
        unit: Duration::from_secs(unit),
        fault: Fault::None,
        wrong: (Duration::ZERO, Duration::MAX),
        delay: (Duration::ZERO, Duration::from_millis(50)),
        gateways: 1,
        strangers: 0.0,
        burst: 1,
    }
}

/// Returns all scenarios.
pub(super) fn all() -> Vec<GateScenario> {
    let chat = kind((200.0, 2_000.0), (100.0, 1_000.0));
    let of_chat = |name| of_pods(name, vec![pod(64, AMPLE); 4], chat, 30);
    let seconds = Duration::from_secs;
    let millis = |from, until| (Duration::from_millis(from), Duration::from_millis(until));
    let quarter = Pod { speed: 0.25, ..pod(64, AMPLE) };
    let mixed = vec![quarter, quarter, pod(64, AMPLE), pod(64, AMPLE)];
    let long_out = kind((200.0, 1_000.0), (1_000.0, 2_000.0));
    let prefill = kind((2_000.0, 8_000.0), (20.0, 100.0));
    let long_prompt = kind((5_000.0, 100_000.0), (50.0, 500.0));
    let kv = kind((200.0, 2_000.0), (200.0, 2_000.0));
    let tight = kind((500.0, 4_000.0), (200.0, 1_000.0));
    let cpu = kind((200.0, 1_000.0), (50.0, 300.0));
    let short = kind((200.0, 400.0), (20.0, 40.0));
    vec![
        of_chat("chat64"),
        of_pods("chat8", vec![pod(8, AMPLE); 4], chat, 30),
        of_pods("chat256", vec![pod(256, AMPLE); 4], chat, 40),
        of_pods("short128", vec![pod(128, AMPLE); 4], short, 20),
        of_pods("long-out64", vec![pod(64, AMPLE); 4], long_out, 90),
        of_pods("prefill256", vec![pod(256, AMPLE); 4], prefill, 40),
        of_pods("long-prompt", vec![pod(64, AMPLE); 4], long_prompt, 90),
        of_pods("kv256", vec![pod(256, 100_000); 4], kv, 60),
        of_pods("kv-tight", vec![pod(128, 40_000); 4], tight, 60),
        of_pods("cpu32", vec![slow_pod(32); 3], cpu, 120),
        of_pods("mixed", mixed, chat, 30),
        GateScenario { giants: 0.005, ..of_pods("giant", vec![pod(64, 300_000); 4], chat, 60) },
        GateScenario {
            fault: Fault::Slow,
            wrong: (seconds(60), seconds(120)),
            ..of_pods("slow4x", vec![pod(64, AMPLE); 4], chat, 40)
        },
        GateScenario {
            fault: Fault::Restart,
            wrong: (seconds(45), seconds(55)),
            ..of_chat("restart")
        },
        GateScenario { fault: Fault::NoPages, ..of_chat("nopage") },
        GateScenario {
            fault: Fault::NoPages,
            wrong: (seconds(40), seconds(110)),
            ..of_chat("page-loss")
        },
        GateScenario { delay: millis(50, 150), ..of_chat("delay150") },
        GateScenario { strangers: 0.3, ..of_chat("others30") },
        GateScenario { gateways: 4, ..of_chat("gateways4") },
        GateScenario { delay: millis(500, 1_000), ..of_chat("delay1000") },
        of_pods("one64", vec![pod(64, AMPLE)], chat, 30),
        of_pods("sixteen64", vec![pod(64, AMPLE); 16], chat, 30),
        GateScenario { burst: 8, ..of_chat("burst8") },
    ]
}
