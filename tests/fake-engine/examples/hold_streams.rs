//! Opens many streams to an engine, waits until each has begun, and tells what they cost the engine's process.
//!
//! `cargo run --release -p cloudach-fake-engine --example hold_streams -- 127.0.0.1:8000 PID 15000 [TOKEN_DELAY]`
//!
//! With a token delay (`100ms`) the streams are not idle: after ten seconds it tells how many events came per second
//! and the processor time that the engine spent on each.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long busy streams are watched.
const WATCHED: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, pid, streams, delay @ ..] = &arguments[..] else {
        return Err("usage: hold_streams ADDRESS PID STREAMS [TOKEN_DELAY]".into());
    };
    let (pid, streams): (u32, u32) = (pid.parse()?, streams.parse()?);
    let directive = match delay {
        [delay, ..] => format!("[[delay={delay}]]"),
        [] => "[[fault:stall_after=1]]".to_owned(),
    };
    let body = format!(r#"{{"prompt":"Hello {directive}","stream":true,"ignore_eos":true,"max_tokens":1000000}}"#);
    let request =
        format!("POST /v1/completions HTTP/1.1\r\nhost: engine\r\ncontent-length: {}\r\n\r\n{body}", body.len());

    let before = resident_kib(pid)?;
    let started = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..streams {
        let mut client = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        client.write_all(request.as_bytes()).await?;
        clients.push(client);
    }
    for client in &mut clients {
        let mut bytes = Vec::with_capacity(1024);
        while !bytes.windows(6).any(|window| window == b"data: ") {
            client.read_buf(&mut bytes).await?;
        }
    }
    let cost = resident_kib(pid)?.saturating_sub(before);
    eprintln!(
        "{streams} streams in {:.1?}: {before} KiB before, {cost} KiB more, {:.2} KiB per stream",
        started.elapsed(),
        f64::from(cost) / f64::from(streams)
    );
    if !delay.is_empty() {
        watch(clients, pid).await?;
    }
    Ok(())
}

async fn watch(clients: Vec<TcpStream>, pid: u32) -> Result<(), Box<dyn Error>> {
    let before = processor_ticks(pid)?;
    let mut readers = JoinSet::new();
    for client in clients {
        readers.spawn(count_events(client));
    }
    let mut events = 0;
    while let Some(counted) = readers.join_next().await {
        events += counted?;
    }
    let spent = Duration::from_millis((processor_ticks(pid)? - before) * 10);
    eprintln!(
        "{} events per second, {:.1} microseconds of the engine's processor time each",
        events / WATCHED.as_secs(),
        spent.as_secs_f64() * 1e6 / Duration::from_secs(events).as_secs_f64()
    );
    Ok(())
}

async fn count_events(mut client: TcpStream) -> u64 {
    let mut events = 0;
    let mut bytes = vec![0; 4096];
    let reading = async {
        while let Ok(read) = client.read(&mut bytes).await
            && read > 0
        {
            events += bytes[..read].windows(6).filter(|window| window == b"data: ").count() as u64;
        }
    };
    // What comes until then is what is counted.
    let _ = tokio::time::timeout(WATCHED, reading).await;
    events
}

fn resident_kib(pid: u32) -> Result<u32, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("the process has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Hundredths of a second in user and kernel mode.
fn processor_ticks(pid: u32) -> Result<u64, Box<dyn Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').ok_or("the process has no name")?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
