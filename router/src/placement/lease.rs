//! A lease in Redis: of several routers, the one that holds it orders. Where Redis is away nobody does, and everything
//! stays as it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script, aio::MultiplexedConnection};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Both keys lie on the same node of a cluster.
const HOLDER: &str = "{cloudach:placement}:holder";
const EPOCH: &str = "{cloudach:placement}:epoch";

/// Takes the lease if it is free, or prolongs it. Gives the epoch, or 0 when another holds it. A new holder's epoch is higher
/// than all before, and at least the time, so that it is higher also after Redis has forgotten everything.
const HOLD: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return tonumber(redis.call('GET', KEYS[2]) or 0)
end
if holder then return 0 end
local epoch = math.max(tonumber(redis.call('GET', KEYS[2]) or 0) + 1, tonumber(ARGV[3]))
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return epoch
";

/// Gives the lease back.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// How long giving it back may hold up the end of the process.
const RELEASED_WITHIN: Duration = Duration::from_millis(500);

/// The lease, as this router sees it.
#[derive(Debug)]
pub struct Lease {
    client: Client,
    /// This router, among those that want it.
    me: String,
    time: Duration,
    epoch: watch::Sender<Option<u64>>,
}

impl Lease {
    /// A lease of so much time at the server with this URL.
    ///
    /// # Errors
    /// The URL names no single server.
    pub fn at(url: &str, time: Duration) -> RedisResult<Self> {
        // One that was chosen before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let drawn = getrandom::u64().unwrap_or_default();
        let me = format!("{}-{since:x}-{drawn:x}", std::process::id());
        Ok(Self { client: Client::open(url)?, me, time, epoch: watch::Sender::new(None) })
    }

    /// The epoch to order with; `None`: another router orders, or nobody knows.
    pub fn epoch(&self) -> watch::Receiver<Option<u64>> {
        self.epoch.subscribe()
    }

    /// Tries to get and to keep the lease, until `end`; then gives it back.
    pub async fn keep(self, end: CancellationToken) {
        end.run_until_cancelled(self.try_again_and_again()).await;
        if self.epoch.send_replace(None).is_some() {
            let _ = timeout(RELEASED_WITHIN, self.release()).await;
        }
    }

    async fn try_again_and_again(&self) {
        let pause = self.time / 4;
        let mut connection = None;
        let mut told_away = false;
        // Until then nobody else can have it. A quarter is left for commands that are on their way.
        let mut sure_until = Instant::now();
        loop {
            let begun = Instant::now();
            match timeout(pause, self.hold(&mut connection)).await {
                Ok(Ok(epoch)) => {
                    told_away = false;
                    sure_until = begun + pause * 3;
                    self.set((epoch > 0).then_some(epoch));
                }
                failed => {
                    connection = None;
                    if !told_away {
                        let error = failed.ok().and_then(Result::err).map(|error| told(&error));
                        warn!(error, "no word from Redis on who orders; models stay as they are after a while");
                        told_away = true;
                    }
                    if Instant::now() + pause > sure_until {
                        self.set(None);
                    }
                }
            }
            sleep(pause.saturating_sub(begun.elapsed())).await;
        }
    }

    async fn hold(&self, connection: &mut Option<MultiplexedConnection>) -> RedisResult<u64> {
        if connection.is_none() {
            *connection = Some(self.connect().await?);
        }
        let Some(connection) = connection else { return Ok(0) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        Script::new(HOLD).key(HOLDER).key(EPOCH).arg(&self.me).arg(time).arg(now).invoke_async(connection).await
    }

    async fn release(&self) -> RedisResult<()> {
        let mut connection = self.connect().await?;
        Script::new(RELEASE).key(HOLDER).arg(&self.me).invoke_async(&mut connection).await
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.time / 4)).set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    fn set(&self, epoch: Option<u64>) {
        self.epoch.send_if_modified(|now| {
            let changed = *now != epoch;
            *now = epoch;
            if changed {
                info!(epoch, "lease");
            }
            changed
        });
    }
}

/// Without addresses: URLs hold passwords.
fn told(error: &RedisError) -> String {
    error.code().map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}
