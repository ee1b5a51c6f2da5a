//! For whom the gateway does something while nobody is there who shows a key: who has asked for it, to be looked up again each
//! time, as what a key may do can have changed.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    caller::{Allowance, Caller, label},
    directory::{self, TenantRecord},
    jwt::CALLERS,
    limits::Limits,
    priority::Priority,
};
use crate::{Edge, store::Away};

/// Who has asked. It tells no secret, and is no way in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Principal {
    /// A key, of the configuration or of the store.
    Key { id: String },
    /// A token, which lives for minutes: what it said.
    Token(Box<Said>),
}

/// What a token said of its caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    id: String,
    name: String,
    tenant: String,
    project: String,
    models: Option<BTreeSet<String>>,
    own: Allowance,
    /// The store knew of its tenant.
    knew_tenant: bool,
}

impl Principal {
    /// This caller.
    pub fn of(caller: &Caller) -> Self {
        if !caller.key_id.starts_with(CALLERS) {
            return Self::Key { id: caller.key_id.clone() };
        }
        Self::Token(Box::new(Said {
            id: caller.key_id.clone(),
            name: caller.key.clone(),
            tenant: caller.tenant.to_string(),
            project: caller.project_name().to_owned(),
            models: caller.models.clone(),
            own: caller.own.clone(),
            knew_tenant: caller.tenants.is_some(),
        }))
    }

    /// The caller as they are now, with what is the least urgent. `None`: the key is no longer one, or its tenant or issuer is gone.
    ///
    /// # Errors
    /// The store is away.
    pub async fn find(&self, edge: &Edge) -> Result<Option<Arc<Caller>>, Away> {
        let found = match self {
            Self::Key { id } => edge.known.by_id(id).await?.map(Arc::unwrap_or_clone),
            Self::Token(said) => {
                let issuer = said.id.strip_prefix(CALLERS).and_then(|rest| rest.split_once(':'));
                let is_known = |name| edge.config.issuers.iter().any(|issuer| issuer.name == name);
                if !issuer.is_some_and(|(name, _)| is_known(name)) {
                    return Ok(None);
                }
                let tenant = edge.store.tenant(&said.tenant).await?.found;
                let tenant = tenant.as_deref().map(serde_json::from_str).transpose();
                said.member(tenant.map_err(|_| Away::Refused("a tenant cannot be read".to_owned()))?)
            }
        };
        Ok(found.map(|caller| Arc::new(Caller { priority: Priority::Low, ..caller })))
    }
}

impl Said {
    fn member(&self, tenant: Option<TenantRecord>) -> Option<Caller> {
        if self.knew_tenant && tenant.is_none() {
            return None;
        }
        let caller = Caller {
            project: label(&self.project),
            models: self.models.clone(),
            own: self.own.clone(),
            ..Caller::new(self.id.clone(), self.name.clone(), self.tenant.clone(), Limits::default())
        };
        Some(directory::member(caller, None, tenant.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tokens_caller_is_made_again_of_what_it_said() {
        let own = Allowance {
            limits: serde_json::from_value(json!({ "requests_per_minute": 7 })).unwrap(),
            ..Allowance::default()
        };
        let caller = Caller {
            project: label("ml"),
            models: Some(BTreeSet::from(["a".to_owned(), "b".to_owned()])),
            own: own.clone(),
            ..Caller::new("jwt:sso:ann".to_owned(), "ann".to_owned(), "acme".to_owned(), Limits::default())
        };
        let tenant = json!({ "id": "acme", "name": "Acme", "created": 0, "models": ["a"], "suspended": true });
        let tenant: TenantRecord = serde_json::from_value(tenant).unwrap();
        let said = |caller: &Caller| {
            let text = serde_json::to_string(&Principal::of(caller)).unwrap();
            match serde_json::from_str(&text).unwrap() {
                Principal::Token(said) => said,
                other @ Principal::Key { .. } => panic!("{other:?}"),
            }
        };
        let again = said(&caller).member(None).unwrap();
        assert_eq!((again.key_id.as_str(), again.project_name(), &again.own), ("jwt:sso:ann", "ml", &own));
        assert!(again.may_use("b") && !again.suspended);
        let again = said(&caller).member(Some(tenant.clone())).unwrap();
        assert!(again.may_use("a") && !again.may_use("b") && again.suspended);
        let member = directory::member(caller, None, Some(&tenant));
        assert!(said(&member).member(None).is_none(), "its tenant is gone");
    }

    #[test]
    fn of_a_key_nothing_is_noted_but_its_id() {
        let caller = Caller::new("configured-01".to_owned(), "n".to_owned(), String::new(), Limits::default());
        let text = serde_json::to_string(&Principal::of(&caller)).unwrap();
        assert_eq!(text, r#"{"kind":"key","id":"configured-01"}"#);
    }
}
