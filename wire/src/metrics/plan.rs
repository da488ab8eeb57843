//! An engine's specs, turned round: the meaning of each family.

use super::engine::{CacheSpec, Engine, Spec};

/// Families by name, with the meaning of their series.
#[derive(Debug)]
pub(super) struct Plan {
    /// Beginning of all families' names.
    prefix: Vec<u8>,
    /// Bytes that may follow the beginning, so that a page's many other lines cost one look-up
    /// each.
    next: [bool; 256],
    pub(super) families: Vec<WantedFamily>,
    /// Labels of which only the series that say 0 count.
    pub(super) ranks: Vec<Vec<u8>>,
}

/// Family that is wanted.
#[derive(Debug)]
pub(super) struct WantedFamily {
    pub(super) name: Vec<u8>,
    pub(super) uses: Vec<Use>,
    /// True if the family rarely changes, so that it is read with whole scans only.
    pub(super) steady: bool,
}

/// Meaning of a series that has the label.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) label: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) meaning: Meaning,
}

/// Meaning of a series. Numbers are ranks: the lowest that the page has counts.
#[derive(Debug)]
pub(super) enum Meaning {
    Waiting(usize),
    Running(usize),
    KvUsage(usize),
    CacheLabels {
        block_tokens: Vec<u8>,
        blocks: Vec<u8>,
    },
    BlockTokens,
    Blocks,
    Queried(usize),
    Cached(usize),
    Started(usize),
    /// Label with the model's name.
    Model(Vec<u8>),
    Lora,
    /// Custom metric of that number.
    Custom(usize),
    Awake,
}

impl Engine {
    /// Returns the path and query of a page that has the wanted families only.
    #[must_use]
    pub fn selection(&self) -> Option<String> {
        let path = self.selecting.as_ref()?;
        let plan = Plan::new(self);
        let names = plan.families.iter().map(|family| String::from_utf8_lossy(&family.name));
        // Brackets are escaped as no URI has them in its query; names need no escape.
        let names: Vec<_> = names.map(|name| format!("name%5B%5D={name}")).collect();
        Some(format!("{path}?{}", names.join("&")))
    }
}

impl Plan {
    pub(super) fn new(engine: &Engine) -> Self {
        let ranks = engine.ranks.iter().map(|label| label.clone().into_bytes()).collect();
        let mut plan = Self { prefix: Vec::new(), next: [false; 256], families: Vec::new(), ranks };
        let ranked = |specs: &[Spec], meaning: fn(usize) -> Meaning| {
            specs.iter().cloned().enumerate().map(|(rank, spec)| (spec, meaning(rank))).collect()
        };
        let mut all: Vec<(Spec, Meaning)> = ranked(&engine.waiting, Meaning::Waiting);
        all.extend(ranked(&engine.running, Meaning::Running));
        all.extend(ranked(&engine.kv_usage, Meaning::KvUsage));
        all.extend(ranked(&engine.queried, Meaning::Queried));
        all.extend(ranked(&engine.cached, Meaning::Cached));
        all.extend(ranked(&engine.started, Meaning::Started));
        if let Some(label) = &engine.model {
            let names = |spec: &Spec| (spec.clone(), Meaning::Model(label.clone().into_bytes()));
            all.extend(engine.waiting.iter().map(names));
        }
        all.extend(engine.lora.clone().map(|spec| (spec, Meaning::Lora)));
        let custom = engine.custom.iter().enumerate();
        all.extend(custom.map(|(number, (_, spec))| (spec.clone(), Meaning::Custom(number))));
        all.extend(engine.awake.clone().map(|spec| (spec, Meaning::Awake)));
        all.extend(engine.cache.iter().flat_map(cache));
        for (spec, meaning) in all {
            plan.add(spec, meaning);
        }
        plan.index();
        plan
    }

    fn add(&mut self, spec: Spec, meaning: Meaning) {
        let name = spec.family.into_bytes();
        let steady =
            matches!(meaning, Meaning::CacheLabels { .. } | Meaning::BlockTokens | Meaning::Blocks);
        let label = spec.label.map(|(label, value)| (label.into_bytes(), value.into_bytes()));
        let wanted = Use { label, meaning };
        match self.families.iter_mut().find(|family| family.name == name) {
            Some(family) => {
                family.uses.push(wanted);
                family.steady &= steady;
            }
            None => self.families.push(WantedFamily { name, uses: vec![wanted], steady }),
        }
    }

    fn index(&mut self) {
        let mut names = self.families.iter().map(|family| family.name.as_slice());
        let first = names.next().unwrap_or_default();
        let common = |len: usize, name: &[u8]| {
            first.iter().zip(name).take(len).take_while(|(one, other)| one == other).count()
        };
        let len = names.fold(first.len(), common);
        self.prefix = first.get(..len).unwrap_or_default().to_vec();
        for family in &self.families {
            // A family that is itself the prefix of the others ends there.
            let next = family.name.get(len).copied();
            for byte in next.map_or_else(|| vec![b'{', b' ', b'\t'], |byte| vec![byte]) {
                if let Some(may) = self.next.get_mut(usize::from(byte)) {
                    *may = true;
                }
            }
        }
    }

    /// Returns the family that a line is of, and the rest of the line behind the name.
    pub(super) fn family_of<'a>(&self, line: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let next = line.strip_prefix(self.prefix.as_slice())?.first()?;
        if !*self.next.get(usize::from(*next))? {
            return None;
        }
        self.families
            .iter()
            .enumerate()
            .find_map(|(index, family)| Some((index, family.rest(line)?)))
    }
}

impl WantedFamily {
    /// Returns the rest of the line behind the name, if the line is of this family.
    pub(super) fn rest<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let rest = line.strip_prefix(self.name.as_slice())?;
        matches!(rest.first(), Some(b'{' | b' ' | b'\t')).then_some(rest)
    }
}

fn cache(spec: &CacheSpec) -> Vec<(Spec, Meaning)> {
    match spec.clone() {
        CacheSpec::Labels { info, block_tokens, blocks } => {
            let meaning = Meaning::CacheLabels {
                block_tokens: block_tokens.into_bytes(),
                blocks: blocks.into_bytes(),
            };
            vec![(info, meaning)]
        }
        CacheSpec::Values { block_tokens, blocks } => {
            vec![(block_tokens, Meaning::BlockTokens), (blocks, Meaning::Blocks)]
        }
    }
}
