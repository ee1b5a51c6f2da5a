//! The terminal: drawn again with each look and each change of its size, and given back however this ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Text},
    widgets::{Paragraph, Row, Table as Drawn},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    Looks,
    snapshot::Snapshot,
    view::{Table, View},
};
use crate::at::At;

/// How soon the thread that reads keys sees that nobody wants them any more.
const POLL: Duration = Duration::from_millis(100);

/// Keys that wait to be looked at: more than a hand can strike.
const KEYS: usize = 16;

/// Between two columns.
const GAP: u16 = 2;

/// Shows looks until a key or a signal ends it.
///
/// # Errors
/// The terminal cannot be used.
pub async fn run(at: &At, token: Option<&str>, every: Duration) -> io::Result<()> {
    let mut ended = [signal(SignalKind::terminate())?, signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?];
    // Its panic hook gives the terminal back, and so does the guard.
    let terminal = ratatui::try_init()?;
    let _guard = GiveBack;
    let keys = Keys::read();
    let [terminate, hangup, interrupt] = &mut ended;
    tokio::select! {
        shown = show(terminal, keys, at, token, every) => shown,
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Gives the terminal back when it is dropped.
struct GiveBack;

impl Drop for GiveBack {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

async fn show(
    mut terminal: DefaultTerminal,
    mut keys: Keys,
    at: &At,
    token: Option<&str>,
    every: Duration,
) -> io::Result<()> {
    let mut looks = Looks::default();
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    terminal.draw(|frame| frame.render_widget(Paragraph::new("looking ..."), frame.area()))?;
    loop {
        tokio::select! {
            // An address that hangs holds up no key.
            snapshot = async { tick.tick().await; Snapshot::take(at, token).await } => looks.push(snapshot),
            event = keys.events.recv() => match event {
                None => return Ok(()),
                Some(Event::Key(key)) if ends(key) => return Ok(()),
                Some(_) => {}
            },
        }
        if let Some(view) = looks.view() {
            terminal.draw(|frame| draw(frame, &view, every))?;
        }
    }
}

fn ends(key: KeyEvent) -> bool {
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

/// What a thread reads of the terminal, until this is dropped.
struct Keys {
    events: mpsc::Receiver<Event>,
    wanted: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keys {
    fn read() -> Self {
        let (send, events) = mpsc::channel(KEYS);
        let wanted = Arc::new(AtomicBool::new(true));
        let goes_on = wanted.clone();
        let thread = thread::spawn(move || {
            while goes_on.load(Ordering::Relaxed) {
                match event::poll(POLL) {
                    Ok(false) => {}
                    // One that finds no room is a key that is held down.
                    Ok(true) => match event::read() {
                        Ok(event) => drop(send.try_send(event)),
                        Err(_) => return,
                    },
                    Err(_) => return,
                }
            }
        });
        Self { events, wanted, thread: Some(thread) }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn draw(frame: &mut Frame<'_>, view: &View, every: Duration) {
    let rows = |table: &Table| u16::try_from(table.rows.len() + 2).unwrap_or(u16::MAX);
    let problems = u16::try_from(view.problems.len()).unwrap_or(u16::MAX);
    let [head, bad, models, replicas] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(problems),
        // Models never hide all replicas.
        Constraint::Max(rows(&view.models).min(frame.area().height / 2)),
        Constraint::Min(0),
    ])
    .areas(frame.area());
    let [processes, together] = &view.head;
    let title = format!(
        "cloudach top  {processes}  every {}  q ends it",
        humantime_serde::re::humantime::format_duration(every)
    );
    let title = Line::styled(title, Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Paragraph::new(Text::from(vec![title, Line::raw(together.as_str())])), head);
    let problem = |text: &String| Line::styled(text.clone(), Style::new().fg(Color::Red));
    frame.render_widget(Paragraph::new(view.problems.iter().map(problem).collect::<Vec<_>>()), bad);
    frame.render_widget(drawn(&view.models), models);
    frame.render_widget(drawn(&view.replicas), replicas);
}

/// Columns as wide as what is in them; the last one takes what is left.
fn drawn(table: &Table) -> Drawn<'_> {
    let width = |column: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        let widest = cells.chain([table.titles[column].len()]).max().unwrap_or(0);
        Constraint::Length(u16::try_from(widest).unwrap_or(u16::MAX))
    };
    let last = table.titles.len() - 1;
    let widths: Vec<_> = (0..last).map(width).chain([Constraint::Min(0)]).collect();
    let rows = table.rows.iter().map(|row| Row::new(row.iter().map(String::as_str)));
    let header = Row::new(table.titles.iter().copied()).style(Style::new().add_modifier(Modifier::REVERSED));
    Drawn::new(rows, widths).header(header).column_spacing(GAP)
}
