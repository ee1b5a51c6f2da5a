//! Shows a person who waits what the gateway waits for, and then how to use it.

use std::{
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

use cloudach_edge::catalog::Catalog;
use tokio::time::sleep;

/// How often it is looked at: a start of a second should not seem to take two.
const LOOK: Duration = Duration::from_millis(50);

/// What fits on a line of a terminal: a longer one would wrap and could not be overwritten. In characters.
const LINE: usize = 60;

/// How often the same state is repeated where lines cannot be overwritten.
const REPEAT: Duration = Duration::from_secs(10);

/// Returns when every model has a replica that is ready.
pub async fn until_ready(catalog: &Catalog) {
    let started = Instant::now();
    let overwrite = stderr().is_terminal();
    let mut shown = String::new();
    let mut shown_at = None;
    loop {
        let waits_for = catalog.waits_for().join("; ");
        if waits_for.is_empty() {
            break;
        }
        let seconds = started.elapsed().as_secs();
        if overwrite {
            let short: String = waits_for.chars().take(LINE).collect();
            let _ = write!(stderr(), "\r\x1b[K{seconds} s, waiting for {short}");
            let _ = stderr().flush();
        } else if shown != waits_for || shown_at.is_none_or(|at: Instant| at.elapsed() > REPEAT) {
            let _ = writeln!(stderr(), "waiting for {waits_for} ({seconds} s)");
            shown_at = Some(Instant::now());
        }
        shown = waits_for;
        sleep(LOOK).await;
    }
    if overwrite {
        let _ = write!(stderr(), "\r\x1b[K");
    }
    let _ = writeln!(stderr(), "ready after {:.1} s", started.elapsed().as_secs_f32());
}

/// Prints what a newcomer needs for the first request.
pub fn print_welcome(base_url: &str, model: &str, key: &str) {
    let mut out = stdout();
    let _ = writeln!(out, "\n  base URL  {base_url}/v1\n  key       {key}\n  model     {model}\n");
    // In double quotes, so that the shell puts in a key that stands in a variable.
    let _ = writeln!(
        out,
        "  curl {base_url}/v1/chat/completions -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \\\n    \
         -d '{{\"model\": \"{model}\", \"temperature\": 0, \"messages\": [{{\"role\": \"user\", \"content\": \"Say hello.\"}}]}}'\n"
    );
    let _ = out.flush();
}
