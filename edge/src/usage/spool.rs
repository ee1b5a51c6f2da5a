//! Where records wait until the store has them: files of lines, one after the other, or memory.
//!
//! A line that is appended is with the operating system: it outlives this process, whatever becomes of it. It is made to
//! outlive the machine, too (fsync), with every vain try while the store is away, four times a second at most, and at the end. Which lines the store has, only the store knows:
//! after a restart it is asked. So no segment is ever written to by a second process.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;

/// A segment that has this many bytes is followed by another.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// A segment that was delivered whole is not written to any more from this size on.
const SHORT_BYTES: u64 = 256 * 1024;

/// The most that is read at once: with what the embedded store adds to it no more than 128 KiB, as it makes room in powers of two.
const READ_BYTES: u64 = 127 * 1024;

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("cannot use the folder for usage {folder}: {source}", folder = .folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("another process uses {folder}: every edge needs a `usage.spool` of its own", folder = .folder.display())]
    InUse { folder: PathBuf },
}

/// Lines are lost.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the spool is full: `usage.spool_bytes`")]
    Full,
    #[error("the spool cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// Whole lines of a segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Lines {
    pub segment: String,
    pub from: u64,
    pub bytes: Vec<u8>,
}

/// The segments.
#[derive(Debug)]
pub struct Spool(Mutex<Segments>);

#[derive(Debug)]
struct Segments {
    folder: Option<PathBuf>,
    /// Held for as long as the folder is used.
    _lock: Option<File>,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// What they may take together.
    most: u64,
    /// Makes names.
    name: fn() -> String,
}

#[derive(Debug)]
struct Segment {
    name: String,
    place: Place,
    /// What the store has.
    delivered: u64,
    end: u64,
    /// It was begun by this process and is not full.
    is_open: bool,
    is_synced: bool,
}

#[derive(Debug)]
enum Place {
    File { file: File, path: PathBuf },
    Memory(Vec<u8>),
}

impl Spool {
    /// Opens a folder, which is made where there is none, with what an earlier process has left in it. None: in memory.
    /// `name` gives names that sort by age and are never given twice.
    ///
    /// # Errors
    /// It cannot be used, or another process does.
    pub fn open(folder: Option<&Path>, most: u64, name: fn() -> String) -> Result<Self, SpoolError> {
        let (mut lock, mut segments) = (None, VecDeque::new());
        if let Some(folder) = folder {
            let failed = |source| SpoolError::Folder { folder: folder.to_owned(), source };
            fs::create_dir_all(folder).map_err(failed)?;
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"));
            let file = file.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => lock = Some(file),
                Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse { folder: folder.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            segments = left_behind(folder).map_err(failed)?;
        }
        let folder = folder.map(Path::to_owned);
        Ok(Self(Mutex::new(Segments { folder, _lock: lock, segments, most, name })))
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// They are lost.
    pub fn append(&self, lines: &[u8]) -> Result<(), Lost> {
        self.0.lock().append(lines)
    }

    /// The oldest lines that the store does not have.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn next(&self) -> io::Result<Option<Lines>> {
        self.0.lock().next()
    }

    /// The store has a segment up to here.
    pub fn delivered(&self, segment: &str, to: u64) {
        let mut held = self.0.lock();
        if let Some(segment) = held.segments.iter_mut().find(|held| held.name == segment) {
            segment.delivered = segment.delivered.max(to.min(segment.end));
        }
    }

    /// Bytes that the store does not have.
    pub fn waiting(&self) -> u64 {
        self.0.lock().segments.iter().map(|segment| segment.end - segment.delivered).sum()
    }

    /// Makes what waits outlive the machine.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> io::Result<()> {
        // Clones of the files, so that nobody waits for the lock while the disk works.
        let files: Vec<File> = {
            let mut held = self.0.lock();
            let unsynced = held.segments.iter_mut().filter(|segment| !segment.is_synced);
            let files = unsynced.filter_map(|segment| {
                segment.is_synced = true;
                match &segment.place {
                    Place::File { file, .. } => Some(file.try_clone()),
                    Place::Memory(_) => None,
                }
            });
            files.collect::<io::Result<_>>()?
        };
        files.iter().try_for_each(File::sync_data)
    }
}

impl Segments {
    fn append(&mut self, lines: &[u8]) -> Result<(), Lost> {
        let length = lines.len() as u64;
        if self.segments.iter().map(|segment| segment.end).sum::<u64>() + length > self.most {
            return Err(Lost::Full);
        }
        if self.segments.back().is_none_or(|last| !last.is_open) {
            let begun = self.begin()?;
            self.segments.push_back(begun);
        }
        let Some(last) = self.segments.back_mut() else { return Err(Lost::Full) };
        last.append(lines)?;
        last.is_open = last.end < SEGMENT_BYTES;
        Ok(())
    }

    fn begin(&self) -> io::Result<Segment> {
        let name = (self.name)();
        let place = match &self.folder {
            Some(folder) => {
                let path = folder.join(format!("{name}.jsonl"));
                Place::File { file: OpenOptions::new().read(true).write(true).create_new(true).open(&path)?, path }
            }
            None => Place::Memory(Vec::new()),
        };
        Ok(Segment { name, place, delivered: 0, end: 0, is_open: true, is_synced: true })
    }

    fn next(&mut self) -> io::Result<Option<Lines>> {
        while let Some(first) = self.segments.front_mut() {
            if first.delivered < first.end {
                if let Some(bytes) = first.read()? {
                    return Ok(Some(Lines { segment: first.name.clone(), from: first.delivered, bytes }));
                }
                // A line that was cut off with its process: nobody was told that it is kept.
                first.delivered = first.end;
            }
            if first.is_open && first.end < SHORT_BYTES {
                return Ok(None);
            }
            self.segments.pop_front().map(|done| done.remove()).transpose()?;
        }
        Ok(None)
    }
}

impl Segment {
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match &mut self.place {
            Place::Memory(bytes) => bytes.extend_from_slice(lines),
            Place::File { file, .. } => {
                if let Err(error) = file.write_all(lines) {
                    // What was written of it goes, or the next line would be broken as well.
                    self.is_open = false;
                    let _ = file.set_len(self.end);
                    return Err(error);
                }
            }
        }
        self.end += lines.len() as u64;
        self.is_synced = false;
        Ok(())
    }

    /// Whole lines from what was delivered on. None: there is no whole one.
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let length = (self.end - self.delivered).min(READ_BYTES);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut bytes = match &self.place {
            Place::Memory(all) => {
                let rest = all.get(size(self.delivered)..).unwrap_or_default();
                rest.get(..size(length)).unwrap_or(rest).to_vec()
            }
            Place::File { file, .. } => {
                let mut bytes = vec![0; size(length)];
                file.read_exact_at(&mut bytes, self.delivered)?;
                bytes
            }
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map(|last| last + 1);
        bytes.truncate(whole.unwrap_or_default());
        Ok(whole.map(|_| bytes))
    }

    fn remove(self) -> io::Result<()> {
        match self.place {
            Place::File { path, .. } => fs::remove_file(path),
            Place::Memory(_) => Ok(()),
        }
    }
}

impl Drop for Segments {
    /// What was delivered whole needs not be asked for at the next start.
    fn drop(&mut self) {
        for segment in self.segments.drain(..).filter(|segment| segment.delivered == segment.end) {
            // It is asked for, then.
            let _ = segment.remove();
        }
    }
}

fn left_behind(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "jsonl");
        let Some(name) = path.file_stem().and_then(|name| name.to_str()).filter(|_| is_segment) else { continue };
        let (name, file) = (name.to_owned(), File::open(&path)?);
        let end = file.metadata()?.len();
        let place = Place::File { file, path };
        segments.push(Segment { name, place, delivered: 0, end, is_open: false, is_synced: true });
    }
    segments.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(segments.into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tempfile::TempDir;

    use super::*;

    fn name() -> String {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        format!("{:08}", NAMES.fetch_add(1, Ordering::Relaxed))
    }

    /// Everything that waits, as it is read and delivered.
    fn drain(spool: &Spool) -> String {
        let mut all = Vec::new();
        while let Some(lines) = spool.next().unwrap() {
            assert!(lines.bytes.ends_with(b"\n"));
            spool.delivered(&lines.segment, lines.from + lines.bytes.len() as u64);
            all.extend(lines.bytes);
        }
        String::from_utf8(all).unwrap()
    }

    fn files(folder: &TempDir) -> usize {
        fs::read_dir(folder.path()).unwrap().filter(|file| file.as_ref().unwrap().file_name() != "lock").count()
    }

    #[test]
    fn lines_come_in_their_order_and_delivered_segments_go() {
        let folder = TempDir::new().unwrap();
        for place in [None, Some(folder.path())] {
            let spool = Spool::open(place, 64 * 1024 * 1024, name).unwrap();
            let mut expected = String::new();
            for number in 0..40_000 {
                let line = format!("{number:0300}\n");
                spool.append(line.as_bytes()).unwrap();
                expected.push_str(&line);
            }
            spool.sync().unwrap();
            assert_eq!(spool.waiting(), expected.len() as u64);
            assert!(drain(&spool) == expected);
            assert_eq!(spool.waiting(), 0);
            spool.append(b"one more\n").unwrap();
            assert_eq!(drain(&spool), "one more\n");
            assert!(files(&folder) <= 1);
        }
        assert_eq!(files(&folder), 0, "nothing waits");
    }

    #[test]
    fn what_a_process_left_is_there_for_the_next_one() {
        let folder = TempDir::new().unwrap();
        let spool = Spool::open(Some(folder.path()), 1000, name).unwrap();
        spool.append(b"a\nb\n").unwrap();
        assert!(matches!(Spool::open(Some(folder.path()), 1000, name), Err(SpoolError::InUse { .. })));
        let first = spool.next().unwrap().unwrap();
        spool.delivered(&first.segment, 2);
        drop(spool);
        // Killed while it wrote.
        let path = folder.path().join(format!("{}.jsonl", first.segment));
        fs::write(&path, "a\nb\nc").unwrap();
        let spool = Spool::open(Some(folder.path()), 1000, name).unwrap();
        spool.append(b"d\n").unwrap();
        let again = spool.next().unwrap().unwrap();
        assert_eq!((again.from, again.bytes), (0, b"a\nb\n".to_vec()), "only the store knows what it has");
        spool.delivered(&again.segment, 4);
        assert_eq!(drain(&spool), "d\n");
        assert!(!path.exists());
    }

    #[test]
    fn it_is_bounded() {
        let spool = Spool::open(None, 10, name).unwrap();
        spool.append(b"12345\n").unwrap();
        assert!(matches!(spool.append(b"12345\n"), Err(Lost::Full)));
        spool.append(b"123\n").unwrap();
        assert_eq!(drain(&spool), "12345\n123\n");
    }
}
