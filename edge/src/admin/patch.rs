//! Changing a document: what is said takes the place of what was, `null` takes it away, and what is not said stays.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{Admin, error::AdminError};
use crate::store::{Collection, Fingerprint, Put};

/// Others may be faster so often.
const TRIES: usize = 5;

/// A field of a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Said<T> {
    #[default]
    Nothing,
    Null,
    Value(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Said<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Null, Self::Value))
    }
}

impl<T> Said<T> {
    /// Puts it in the place of `field`; `null` puts there what a new document has.
    pub fn put(self, field: &mut T)
    where
        T: Default,
    {
        match self {
            Self::Nothing => {}
            Self::Null => *field = T::default(),
            Self::Value(value) => *field = value,
        }
    }

    /// Puts it in the place of what need not be there.
    pub fn put_option(self, field: &mut Option<T>) {
        match self {
            Self::Nothing => {}
            Self::Null => *field = None,
            Self::Value(value) => *field = Some(value),
        }
    }
}

/// How a document changes, and which fingerprints lead to it then.
#[derive(Debug, Default)]
pub struct Indexed {
    pub forget: Vec<Fingerprint>,
    pub index: Vec<Fingerprint>,
}

impl Admin {
    /// Reads a document.
    pub async fn read<T: DeserializeOwned>(&self, collection: Collection, id: &str) -> Result<T, AdminError> {
        let text = self.0.store.get(collection, id).await?.ok_or(AdminError::NotFound(one(collection)))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Reads a document, changes it, and puts it back; again, where somebody else was faster.
    pub async fn change<T: DeserializeOwned + serde::Serialize>(
        &self,
        collection: Collection,
        id: &str,
        mut change: impl FnMut(&mut T) -> Result<Indexed, AdminError>,
    ) -> Result<T, AdminError> {
        for _ in 0..TRIES {
            let old = self.0.store.get(collection, id).await?.ok_or(AdminError::NotFound(one(collection)))?;
            let mut document: T = serde_json::from_str(&old)?;
            let Indexed { forget, index } = change(&mut document)?;
            let new = serde_json::to_string(&document)?;
            let put = Put { collection, id, old: Some(&old), new: Some(&new), forget: &forget, index: &index };
            if self.0.store.put(&put).await? {
                return Ok(document);
            }
        }
        Err(AdminError::Changed)
    }

    /// Removes a document and what leads to it.
    pub async fn remove<T: DeserializeOwned>(
        &self,
        collection: Collection,
        id: &str,
        fingerprints: impl Fn(&T) -> Vec<Fingerprint>,
    ) -> Result<(), AdminError> {
        for _ in 0..TRIES {
            let old = self.0.store.get(collection, id).await?.ok_or(AdminError::NotFound(one(collection)))?;
            let forget = fingerprints(&serde_json::from_str(&old)?);
            let put = Put { collection, id, old: Some(&old), new: None, forget: &forget, index: &[] };
            if self.0.store.put(&put).await? {
                return Ok(());
            }
        }
        Err(AdminError::Changed)
    }
}

fn one(collection: Collection) -> &'static str {
    match collection {
        Collection::Keys => "key",
        Collection::Tenants => "tenant",
    }
}
