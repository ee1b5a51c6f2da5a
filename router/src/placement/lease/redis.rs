//! The lease in Redis: a key that expires, taken and prolonged by a script.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, Script, aio::MultiplexedConnection};

/// Both keys lie on the same node of a cluster.
const HOLDER: &str = "{cloudach:placement}:holder";
const EPOCH: &str = "{cloudach:placement}:epoch";

/// Takes the lease if it is free, or prolongs it. Gives the epoch, or 0 when another holds it. A new holder's epoch is higher
/// than all before, and at least the time, so that it is higher also after Redis has forgotten everything. Where it has
/// forgotten the epoch alone, the holder's is set anew, never below the one that the holder was given.
const HOLD: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
local told = tonumber(redis.call('GET', KEYS[2]) or 0)
local now, mine = tonumber(ARGV[3]), tonumber(ARGV[4])
if holder and told > 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return told
end
local epoch = holder and math.max(now, mine) or math.max(now, mine + 1, told + 1)
redis.call('SET', KEYS[2], string.format('%.0f', epoch))
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return epoch
";

/// Gives the lease back.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
";

/// A lease at one server.
#[derive(Debug)]
pub struct Redis {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// This router, among those that want it.
    me: String,
    time: Duration,
    /// The last epoch that it was given. 0: none.
    epoch: u64,
}

impl Redis {
    /// A lease of so much time at the server with this URL.
    ///
    /// # Errors
    /// The URL names no single server.
    pub fn at(url: &str, me: String, time: Duration) -> RedisResult<Self> {
        // One that was chosen before is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { client: Client::open(url)?, connection: None, me, time, epoch: 0 })
    }

    /// Takes the lease, or prolongs it.
    ///
    /// # Errors
    /// There is no word from Redis.
    pub async fn hold(&mut self) -> RedisResult<u64> {
        // Put back only if all went well, also when this is dropped in the middle.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let time = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        let script = Script::new(HOLD);
        let mut call = script.key(HOLDER);
        call.key(EPOCH).arg(&self.me).arg(time).arg(now).arg(self.epoch);
        let epoch: u64 = call.invoke_async(&mut connection).await?;
        self.connection = Some(connection);
        self.epoch = self.epoch.max(epoch);
        Ok(epoch)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// There is no word from Redis.
    pub async fn release(&mut self) -> RedisResult<()> {
        let mut connection = self.connect().await?;
        Script::new(RELEASE).key(HOLDER).arg(&self.me).invoke_async(&mut connection).await
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.time / 4)).set_response_timeout(None);
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Without addresses: URLs hold passwords.
pub fn told(error: &RedisError) -> String {
    error.code().map_or_else(|| format!("{:?}", error.kind()), str::to_owned)
}
