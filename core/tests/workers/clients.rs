//! The doings of clients, and the fates of their requests.

use picker_core::{
    End, Fault, PickError, RequestId, ResponseClass, ResponseStart,
    flow::{Outcome, Priority, Rejection},
    worker::{Conduct, Decision, Effect, Input},
    workers::{AdmissionResult, Message, QueueId},
};

use crate::{
    request::{Asked, Place, Progress, any_objective},
    turns::{decisions, only_decision, submits},
    world::{Fate, REQUESTS_MAX, Request, World},
};

impl World {
    pub(crate) fn arrive(&mut self) {
        if let Some(queue) = self.chance.one_of(&self.queues()) {
            self.arrive_at(queue);
        }
    }

    pub(crate) fn arrive_at(&mut self, queue: QueueId) {
        if self.requests.len() >= REQUESTS_MAX {
            return;
        }
        if self.chance.one_in(2) {
            self.run(queue, Input::Look);
        }
        let objective = any_objective(&mut self.chance, self.crowd);
        let worker = &self.member(queue).worker;
        let priority = objective.map_or(Priority(0), |name| worker.priority(name));
        self.issued += 1;
        let request = RequestId(self.issued);
        let asked = Asked::any(&mut self.chance, self.crowd, (request, priority), self.now);
        self.ask((queue, request), asked);
    }

    pub(crate) fn ask(&mut self, (queue, request): Request, asked: Asked) {
        let effects = self.run(queue, Input::Arrived(Box::new(asked.pending(request))));
        let decision = only_decision(&effects).unwrap();
        assert_eq!((decision.request, decision.granted_at), (request, None));
        let has_flow = self.member(queue).flow.is_some();
        match decision.result {
            AdmissionResult::Sent(result) => {
                let held = self.requests.iter().find(|(_, (fate, _))| *fate == Fate::Held);
                let passes = has_flow && held.is_some() && !self.troubles.is_untrue;
                assert!(!passes, "{}: {request:?} passed those that wait", self.place());
                self.is_excused |= !has_flow;
                self.witness.shares.passed(&asked.flow);
                let asked = Asked { place: Some(Place::of(&result)), ..asked };
                self.requests.insert((queue, request), (Fate::Running, asked));
            }
            AdmissionResult::Held => {
                let ticket = submits(&effects, request);
                let is_contended = effects.iter().any(|it| matches!(it, Effect::ReportContended));
                let is_said = ticket.is_some() || is_contended;
                assert!(is_said && has_flow, "{}: {request:?}", self.place());
                self.requests.insert((queue, request), (Fate::Held, Asked { ticket, ..asked }));
            }
            AdmissionResult::FailedOpen => {
                assert_eq!(
                    (self.pool.has_endpoints, self.config.conduct),
                    (None, Conduct::FailsOpen)
                );
                self.answer((queue, request));
            }
            AdmissionResult::Refused(PickError::NoSnapshot) => {
                assert_eq!(
                    (self.pool.has_endpoints, self.config.conduct),
                    (None, Conduct::FailsClosed)
                );
                self.answer((queue, request));
            }
            AdmissionResult::Refused(why) => {
                let is_empty = self.pool.is_empty() && why == PickError::NoEndpoints;
                assert!(!has_flow && is_empty, "{}: {why:?}", self.place());
                self.answer((queue, request));
            }
            AdmissionResult::Rejected(_) => {
                assert!(has_flow, "{}: {request:?}", self.place());
                self.answer((queue, request));
            }
            AdmissionResult::Shed => {
                let is_low = asked.flow.priority < Priority(0);
                assert!(!has_flow && is_low, "{}: {request:?} is shed", self.place());
                self.answer((queue, request));
            }
        }
    }

    /// The answer to a running request begins, perhaps again.
    pub(crate) fn begin(&mut self) {
        if let Some(request) = self.some(Fate::Running) {
            self.begin_of(request);
        }
    }

    pub(crate) fn begin_at(&mut self, queue: QueueId) {
        if let Some(request) = self.some_at(queue, Fate::Running) {
            self.begin_of(request);
        }
    }

    fn begin_of(&mut self, request: Request) {
        let place = self.requests[&request].1.place.unwrap();
        let served_by = self.chance.one_in(2).then_some(place.endpoint);
        self.respond(request, ResponseStart { served_by, class: ResponseClass::Taken });
    }

    /// A running request turns out to be on another endpoint, or to have failed.
    pub(crate) fn move_one(&mut self) {
        let Some(request) = self.some(Fate::Running) else { return };
        if !self.may_fail(request) {
            return;
        }
        let to = self.chance.one_of(&self.pool.decode);
        let fault = ResponseClass::Failed(Fault::Endpoint);
        let classes = [ResponseClass::Taken, ResponseClass::Taken, ResponseClass::Refused, fault];
        let class = self.chance.one_of(&classes).unwrap();
        self.respond(request, ResponseStart { served_by: to, class });
    }

    fn respond(&mut self, (queue, request): Request, start: ResponseStart) {
        let id = self.member(queue).id;
        let is_member = self.store.ledger().members.has(id);
        let effects = self.run(queue, Input::Responded { request, start });
        let counts_tokens = self.pool.counts_tokens;
        let (_, asked) = self.requests.get_mut(&(queue, request)).unwrap();
        let Place { endpoint, prefill, uncached } = asked.place.unwrap();
        let moves = start.served_by.is_some_and(|to| to != endpoint);
        let ends_prompt = (counts_tokens && uncached > 0) || prefill.is_some();
        let is_first = asked.progress != Progress::Begun;
        let is_news = moves || (is_first && ends_prompt);
        asked.progress = Progress::Begun;
        let endpoint = start.served_by.unwrap_or(endpoint);
        asked.place = Some(Place { endpoint, prefill, uncached });
        let shows = effects.iter().any(|effect| matches!(effect, Effect::ShowHeartbeat));
        if is_first && start.class != ResponseClass::Taken && asked.is_unique {
            let chain = asked.request.chain.clone();
            self.withdrawn.push((queue, chain));
        }
        assert_eq!(shows, is_news || !is_member, "{}: {request:?}", self.place());
    }

    /// True if a request may fail, or be taken back: see [`crate::world::Rules::is_late`].
    fn may_fail(&self, request: Request) -> bool {
        self.requests[&request].1.is_unique || !self.rules.is_late
    }

    /// A running request comes to its end, whether or not it was answered.
    pub(crate) fn finish(&mut self) {
        if let Some(request) = self.some(Fate::Running) {
            self.finish_of(request);
        }
    }

    pub(crate) fn finish_at(&mut self, queue: QueueId) {
        if let Some(request) = self.some_at(queue, Fate::Running) {
            self.finish_of(request);
        }
    }

    pub(crate) fn finish_of(&mut self, request: Request) {
        let may_fail = self.may_fail(request);
        let (queue, id) = request;
        let asked = self.answer(request).unwrap();
        let charge = Input::Charged { request: id, flow: asked.flow.clone(), tokens: asked.output };
        let effects = self.run(queue, charge);
        let is_charge = |effect: &Effect| {
            matches!(effect, Effect::Send(envelope)
                if matches!(envelope.message, Message::Charge { .. }))
        };
        let is_told = effects.iter().any(is_charge);
        self.witness.shares.answered(&asked.flow, asked.output, is_told);
        let begins = asked.progress != Progress::Begun;
        let whole = ResponseStart { served_by: None, class: ResponseClass::Taken };
        let (start, end) = match self.chance.below(4) {
            0 if begins && may_fail => (None, End::Gone),
            1 if may_fail => (begins.then_some(whole), End::Broken(Fault::Endpoint)),
            _ => (begins.then_some(whole), End::Whole),
        };
        if begins && start.is_none() && asked.is_unique {
            self.withdrawn.push((queue, asked.request.chain));
        }
        let effects = self.run(queue, Input::Ended { request: id, start, end });
        assert_eq!(only_decision(&effects), None, "{}", self.place());
    }

    /// The client of a held request goes away.
    pub(crate) fn leave(&mut self) {
        let Some((queue, request)) = self.some(Fate::Held) else { return };
        let asked = self.answer((queue, request)).unwrap();
        self.left.insert((queue, request), asked);
        let ended = Input::Ended { request, start: None, end: End::Gone };
        let effects = self.run(queue, ended);
        assert_eq!(only_decision(&effects), None, "{}", self.place());
    }

    /// A worker without flow control lets go what it still held, whatever room there is.
    pub(crate) fn see_letting_go(&mut self, queue: QueueId, effects: &[Effect]) {
        for decision in decisions(effects) {
            let key = (queue, decision.request);
            let (fate, asked) = self.requests.get(&key).cloned().unwrap();
            assert_eq!((fate, decision.granted_at), (Fate::Held, None), "{}", self.place());
            assert!(self.member(queue).flow.is_none(), "{}: {decision:?}", self.place());
            assert_eq!(decision.waited, self.now.saturating_since(asked.arrived));
            // A grant may be on its way all the same.
            self.left.insert(key, asked.clone());
            let AdmissionResult::Sent(result) = &decision.result else {
                assert!(self.pool.is_empty(), "{}: {decision:?}", self.place());
                self.answer(key);
                continue;
            };
            self.is_excused = true;
            self.witness.shares.passed(&asked.flow);
            let asked = Asked { place: Some(Place::of(result)), ..asked };
            self.requests.insert(key, (Fate::Running, asked));
        }
    }

    pub(crate) fn rejected(&mut self, request: Request, decision: &Decision) {
        let asked = self.answer(request).unwrap();
        assert_eq!(decision.waited, self.now.saturating_since(asked.arrived));
        let AdmissionResult::Rejected(Rejection { outcome, .. }) = decision.result else {
            panic!("{}: {decision:?}", self.place())
        };
        let is_late = asked.progress == Progress::Granted && outcome == Outcome::RejectedCapacity;
        assert!(!is_late, "{}: no room for one that was granted it", self.place());
    }

    fn some(&mut self, wanted: Fate) -> Option<Request> {
        let of_fate = self.requests.iter().filter(|(_, (fate, _))| *fate == wanted);
        let ids: Vec<Request> = of_fate.map(|(id, _)| *id).collect();
        self.chance.one_of(&ids)
    }

    fn some_at(&mut self, queue: QueueId, wanted: Fate) -> Option<Request> {
        let of_fate = self.requests.iter().filter(|(_, (fate, _))| *fate == wanted);
        let ids = of_fate.map(|(id, _)| *id).filter(|(worker, _)| *worker == queue);
        self.chance.one_of(&ids.collect::<Vec<_>>())
    }

    /// A request is answered, once and no more.
    fn answer(&mut self, request: Request) -> Option<Asked> {
        assert!(self.answered.insert(request), "{}: {request:?} answered twice", self.place());
        self.requests.remove(&request).map(|(_, asked)| asked)
    }
}
