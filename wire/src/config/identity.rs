//! The tenant that a request is from, the priority that it has, and the headers that are believed.

use picker_core::{Objective, flow::Priority};

use super::{At, ConfigError, steering};

/// Places where a request says which tenant it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Headers with the name of an objective, in the order in which they are looked for.
    pub objective_headers: Vec<String>,
    /// Headers with the fairness id, which is the tenant, in the order in which they are looked for.
    pub fairness_headers: Vec<String>,
    /// Source of the fairness id.
    pub fairness_key: FairnessKey,
    /// Place in a verified token that says which user asks.
    pub jwt: Option<Jwt>,
    /// True if prompts share no prefix with those of other tenants, whatever the fairness id is read
    /// from. Requests without one are one tenant.
    pub salt_by_tenant: bool,
    /// Headers that a component in front sets and no client can: those that steer are obeyed, and a
    /// tenant that one of them names is taken for the client.
    pub trusted: Vec<String>,
    /// Headers that no configured component sets: they are taken out of every request, as any
    /// client could send them.
    pub stripped: Vec<String>,
    /// Headers that steer and are not trusted, taken out of every request as well.
    pub steering: Vec<String>,
    /// Headers with a path that are not trusted, taken out of the requests for a pool.
    pub steering_paths: Vec<String>,
}

/// Source of the fairness id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FairnessKey {
    /// Header with the tenant's name.
    Header,
    /// Claim of a verified token.
    JwtClaim,
    /// Address of the client, without its port.
    ClientAddress,
}

/// Place in a verified token that says which user asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Header with the token's payload.
    pub payload_header: String,
    /// Path to the claim through the payload's objects.
    pub claim: Vec<String>,
}

/// Headers with the objective: the EPP's names, then their older names.
const OBJECTIVE: [&str; 2] = ["x-llm-d-inference-objective", "x-gateway-inference-objective"];
const FAIRNESS: [&str; 3] =
    ["x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id", "x-gateway-fairness-id"];

impl Default for Identity {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            objective_headers: owned(&OBJECTIVE),
            fairness_headers: owned(&FAIRNESS),
            fairness_key: FairnessKey::Header,
            jwt: None,
            salt_by_tenant: false,
            trusted: Vec::new(),
            stripped: Vec::new(),
            steering: owned(&steering::WORDS),
            steering_paths: owned(&steering::PATHS),
        }
    }
}

const KEYS: [&str; 7] = [
    "objectiveHeaders",
    "fairnessHeaders",
    "fairnessKey",
    "jwt",
    "saltByTenant",
    "trusted",
    "strip",
];

pub(super) fn read(at: &At<'_>) -> Result<Identity, ConfigError> {
    let object = at.object(&KEYS)?;
    let default = Identity::default();
    let keys = [
        ("header", FairnessKey::Header),
        ("jwtClaim", FairnessKey::JwtClaim),
        ("clientAddress", FairnessKey::ClientAddress),
    ];
    let mut identity = Identity {
        objective_headers: object.read("objectiveHeaders", default.objective_headers, headers)?,
        fairness_headers: object.read("fairnessHeaders", default.fairness_headers, headers)?,
        fairness_key: object.read("fairnessKey", FairnessKey::Header, |at| at.one_of(&keys))?,
        jwt: object.read("jwt", None, |at| jwt(at).map(Some))?,
        salt_by_tenant: object.read("saltByTenant", false, At::flag)?,
        ..default
    };
    identity.trusted = object.read("trusted", Vec::new(), |at| identity.trusted(at))?;
    if identity.fairness_key == FairnessKey::JwtClaim && identity.jwt.is_none() {
        let rule = "must have identity.jwt beside it, which says where the claim is";
        return Err(object.refuse("fairnessKey", "jwtClaim", rule));
    }
    if object.read("strip", true, At::flag)? {
        identity.stripped = identity.untrusted();
    }
    let Identity { trusted, steering, steering_paths, .. } = &mut identity;
    steering.retain(|name| !trusted.contains(name));
    steering_paths.retain(|name| !trusted.contains(name));
    Ok(identity)
}

impl Identity {
    /// True if clients cannot set this header.
    #[must_use]
    pub fn trusts(&self, name: &str) -> bool {
        self.trusted.iter().any(|trusted| trusted == name)
    }

    /// Reads the trusted headers: those that steer, and those that name an objective or a tenant.
    fn trusted(&self, at: &At<'_>) -> Result<Vec<String>, ConfigError> {
        let own = self.objective_headers.iter().chain(&self.fairness_headers).map(String::as_str);
        let mut allowed: Vec<&str> = own.collect();
        allowed.extend(OBJECTIVE.iter().chain(&FAIRNESS));
        allowed.extend(steering::WORDS.iter().chain(&steering::PATHS));
        allowed.sort_unstable();
        allowed.dedup();
        let read = |at: &At<'_>| {
            let name = header(at)?;
            if allowed.contains(&&*name) { Ok(name) } else { Err(at.refuse_name(&allowed)) }
        };
        at.list()?.iter().map(read).collect()
    }

    /// Returns the well-known headers that nothing here is read from.
    fn untrusted(&self) -> Vec<String> {
        let by_header = self.fairness_key == FairnessKey::Header;
        let fairness = if by_header { &*self.fairness_headers } else { &[] };
        let trusted = |name: &str| {
            let read = self.objective_headers.iter().chain(fairness);
            read.chain(&self.trusted).any(|trusted| trusted == name)
        };
        let known = OBJECTIVE.into_iter().chain(FAIRNESS).map(str::to_owned);
        // Whoever names a header and then goes by something else does not want it either.
        let named = self.fairness_headers.iter().cloned();
        let mut names: Vec<String> = known.chain(named).filter(|name| !trusted(name)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn jwt(at: &At<'_>) -> Result<Jwt, ConfigError> {
    let object = at.object(&["payloadHeader", "claim"])?;
    let claim = object.read("claim", "sub", At::text)?;
    Ok(Jwt {
        payload_header: header(&object.required("payloadHeader")?)?,
        claim: claim.split('.').map(str::to_owned).collect(),
    })
}

/// Reads header names, in lower case as Envoy has them.
fn headers(at: &At<'_>) -> Result<Vec<String>, ConfigError> {
    at.each(header)
}

/// Reads a header's name, in lower case.
pub(super) fn header(at: &At<'_>) -> Result<String, ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = at.text()?;
    if name.bytes().all(token) {
        return Ok(name.to_ascii_lowercase());
    }
    Err(at.refuse("a header's name"))
}

pub(super) fn objectives(at: &At<'_>) -> Result<Vec<Objective>, ConfigError> {
    let mut names: Vec<String> = Vec::new();
    at.each(|at| {
        let object = at.object(&["name", "priority"])?;
        let name = object.required("name")?;
        if names.iter().any(|other| name.text() == Ok(other)) {
            return Err(name.refuse("a name that no other objective has"));
        }
        let priority = Priority(object.read("priority", 0, At::signed)?);
        let name = name.text()?.to_owned();
        names.push(name.clone());
        Ok(Objective { name, priority })
    })
}
