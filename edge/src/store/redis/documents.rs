//! Keys and tenants in Redis: each kind a hash by id, a sorted set of the ids, and the index of keys by their fingerprints.

use redis::RedisResult;

use super::{Redis, pulse::CHANNEL};
use crate::{
    access::keys::hex,
    http::arrival::random,
    metrics::Call,
    store::{Away, Collection, Fingerprint, Found, Lookup, Put, TenantLookup},
};

/// A random text that is put there once.
const EPOCH: &str = "cloudach:{directory}:epoch";

/// The index of keys by their fingerprints.
const FINGERPRINTS: &str = "cloudach:{directory}:fingerprints";

impl Redis {
    pub async fn lookup(&self, fingerprint: &Fingerprint) -> Result<Lookup, Away> {
        let mut invocation = self.scripts.lookup.prepare_invoke();
        invocation
            .key(documents(Collection::Keys))
            .key(FINGERPRINTS)
            .key(documents(Collection::Tenants))
            .key(EPOCH)
            .arg(&fingerprint.0)
            .arg(hex(&random::<16>()));
        let found: Vec<String> =
            self.link.call(Call::Lookup, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        let mut found = found.into_iter();
        let epoch = found.next().unwrap_or_default();
        let tenant = |found: Option<String>| found.filter(|text| !text.is_empty());
        let found = found.next().map(|key| Found { key, tenant: tenant(found.next()) });
        Ok(Lookup { epoch, found })
    }

    pub async fn tenant(&self, id: &str) -> Result<TenantLookup, Away> {
        let mut invocation = self.scripts.tenant.prepare_invoke();
        invocation.key(documents(Collection::Tenants)).key(EPOCH).arg(id).arg(hex(&random::<16>()));
        let found: Vec<String> =
            self.link.call(Call::Lookup, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        let mut found = found.into_iter();
        Ok(TenantLookup { epoch: found.next().unwrap_or_default(), found: found.next() })
    }

    pub async fn get(&self, collection: Collection, id: &str) -> Result<Option<String>, Away> {
        let read = |mut wire| async move {
            redis::cmd("HGET").arg(documents(collection)).arg(id).query_async(&mut wire).await
        };
        self.link.call(Call::Document, read).await
    }

    pub async fn list(&self, collection: Collection, after: &str, most: usize) -> Result<Vec<String>, Away> {
        let from = if after.is_empty() { "-".to_owned() } else { format!("({after}") };
        let read = |mut wire| async move {
            let mut range = redis::cmd("ZRANGEBYLEX");
            range.arg(order(collection)).arg(from).arg("+").arg("LIMIT").arg(0).arg(most);
            let ids: Vec<String> = range.query_async(&mut wire).await?;
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let texts: RedisResult<Vec<Option<String>>> =
                redis::cmd("HMGET").arg(documents(collection)).arg(ids).query_async(&mut wire).await;
            Ok(texts?.into_iter().flatten().collect())
        };
        self.link.call(Call::Document, read).await
    }

    pub async fn put(&self, put: &Put<'_>) -> Result<bool, Away> {
        let mut invocation = self.scripts.put.prepare_invoke();
        invocation
            .key(documents(put.collection))
            .key(order(put.collection))
            .key(FINGERPRINTS)
            .arg(put.id)
            .arg(put.old.unwrap_or_default())
            .arg(put.new.unwrap_or_default())
            .arg(CHANNEL)
            .arg(format!("{} {}", put.collection.name(), put.id))
            .arg(put.forget.len());
        for fingerprint in put.forget.iter().chain(put.index) {
            invocation.arg(&fingerprint.0);
        }
        let done: u8 =
            self.link.call(Call::Document, |mut wire| async move { invocation.invoke_async(&mut wire).await }).await?;
        Ok(done == 1)
    }
}

fn documents(collection: Collection) -> String {
    format!("cloudach:{{directory}}:{}", collection.name())
}

fn order(collection: Collection) -> String {
    format!("cloudach:{{directory}}:{}:order", collection.name())
}
