//! Streams that one task reads together, where each may be dropped before its end: the requests of a session, the choices of
//! an answer. Nothing is allocated for an item, and nothing but the streams themselves while there is one.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, StreamExt, task::AtomicWaker};
use parking_lot::Mutex;

/// Which one it is. Given again when it has ended or was removed.
pub type Key = u32;

/// Streams that are read together: who has something is looked at, in the order in which they said so.
#[derive(Debug)]
pub struct Together<S> {
    /// By key.
    slots: Vec<Option<Slot<S>>>,
    /// None: there was never more than one, and it wakes the task itself.
    several: Option<Box<Several>>,
}

/// What it takes to read more than one.
#[derive(Debug, Default)]
struct Several {
    /// Keys that nobody has.
    vacant: Vec<Key>,
    /// Those to look at.
    due: VecDeque<Key>,
    /// Where they say so.
    desk: Arc<Desk>,
}

#[derive(Debug)]
struct Slot<S> {
    stream: S,
    /// None while it is the only one there ever was.
    bell: Option<Arc<Bell>>,
}

/// Where streams say that they have something.
#[derive(Debug, Default)]
struct Desk {
    rung: Mutex<VecDeque<Key>>,
    task: AtomicWaker,
}

/// How one stream says so.
#[derive(Debug)]
struct Bell {
    key: Key,
    /// It is due already.
    rung: AtomicBool,
    desk: Arc<Desk>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.desk.rung.lock().push_back(self.key);
            self.desk.task.wake();
        }
    }
}

impl<S> Default for Together<S> {
    fn default() -> Self {
        Self { slots: Vec::new(), several: None }
    }
}

impl<S: Stream + Unpin> Together<S> {
    /// With room for so many, and no more.
    pub fn with_capacity(streams: usize) -> Self {
        Self { slots: Vec::with_capacity(streams), ..Self::default() }
    }

    /// Adds a stream, which is looked at when the next item is asked for.
    pub fn push(&mut self, stream: S) -> Key {
        if self.several.is_none() && !self.is_empty() {
            self.expect_several();
        }
        let Some(several) = &mut self.several else {
            let only = Some(Slot { stream, bell: None });
            match self.slots.first_mut() {
                Some(free) => *free = only,
                None => self.slots.push(only),
            }
            return 0;
        };
        let key = several.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            Key::try_from(self.slots.len() - 1).unwrap_or(Key::MAX)
        });
        let bell = Some(several.rung(key));
        self.slots[key as usize] = Some(Slot { stream, bell });
        key
    }

    /// Drops a stream. Does nothing where it has ended.
    pub fn remove(&mut self, key: Key) {
        let is_there = self.slots.get_mut(key as usize).and_then(Option::take).is_some();
        let Some(several) = self.several.as_mut().filter(|_| is_there) else { return };
        several.vacant.push(key);
        if several.vacant.len() == self.slots.len() {
            // Of those that were removed before they were looked at, nothing is left to look at.
            several.due.clear();
            several.desk.rung.lock().clear();
        }
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        match &self.several {
            None => self.slots.first().is_none_or(Option::is_none),
            Some(several) => several.vacant.len() == self.slots.len(),
        }
    }

    /// The next item of any of them, or that one of them has ended, which is told once. None: none is left.
    pub async fn next(&mut self) -> Option<(Key, Option<S::Item>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// See [`Together::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(Key, Option<S::Item>)>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        let Some(several) = &mut self.several else { return self.poll_only(context).map(Some) };
        let Several { due, desk, .. } = &mut **several;
        // Each may say so again while it is looked at: then the others of this task have their turn first.
        for _ in 0..=2 * self.slots.len() {
            if due.is_empty() {
                desk.task.register(context.waker());
                mem::swap(due, &mut *desk.rung.lock());
            }
            let Some(key) = due.pop_front() else { return Poll::Pending };
            let Some(Some(Slot { stream, bell: Some(bell) })) = self.slots.get_mut(key as usize) else { continue };
            // Before it is looked at: what comes from here on is told anew. What came before is seen, as by this it is known of.
            bell.rung.swap(false, Ordering::SeqCst);
            let waker = Waker::from(bell.clone());
            match stream.poll_next_unpin(&mut Context::from_waker(&waker)) {
                Poll::Pending => {}
                Poll::Ready(Some(item)) => {
                    // There may be more of it, after those that have said so by now.
                    if !bell.rung.swap(true, Ordering::SeqCst) {
                        desk.rung.lock().push_back(key);
                    }
                    return Poll::Ready(Some((key, Some(item))));
                }
                Poll::Ready(None) => {
                    self.remove(key);
                    return Poll::Ready(Some((key, None)));
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_only(&mut self, context: &mut Context<'_>) -> Poll<(Key, Option<S::Item>)> {
        let Some(Some(only)) = self.slots.first_mut() else { return Poll::Pending };
        let item = std::task::ready!(only.stream.poll_next_unpin(context));
        if item.is_none() {
            self.remove(0);
        }
        Poll::Ready((0, item))
    }

    /// From here on there may be several: the one that was alone gets a bell, and is looked at.
    fn expect_several(&mut self) {
        let several = self.several.insert(Box::default());
        if let Some(Some(only)) = self.slots.first_mut() {
            only.bell = Some(several.rung(0));
        }
    }
}

impl Several {
    /// The bell of a stream that is to be looked at.
    fn rung(&mut self, key: Key) -> Arc<Bell> {
        self.due.push_back(key);
        Arc::new(Bell { key, rung: AtomicBool::new(true), desk: self.desk.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{FutureExt, stream};
    use tokio::{sync::mpsc, time::timeout};
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    const AHEAD: usize = 4;

    fn channel() -> (mpsc::Sender<u32>, ReceiverStream<u32>) {
        let (sender, receiver) = mpsc::channel(AHEAD);
        (sender, receiver.into())
    }

    #[tokio::test]
    async fn one_is_read_as_if_it_were_alone() {
        let mut together = Together::with_capacity(1);
        assert!(together.is_empty() && together.next().await.is_none());
        let (sender, stream) = channel();
        let key = together.push(stream);
        assert!(together.next().now_or_never().is_none());
        sender.try_send(1).unwrap();
        assert_eq!(together.next().await, Some((key, Some(1))));
        let sending = async move {
            tokio::task::yield_now().await;
            sender.send(2).await.unwrap();
        };
        let (next, ()) = tokio::join!(together.next(), sending);
        assert_eq!(next, Some((key, Some(2))));
        assert!(together.several.is_none());
        assert_eq!(together.next().await, Some((key, None)));
        assert!(together.is_empty() && together.next().await.is_none());
    }

    #[tokio::test]
    async fn each_has_its_turn() {
        let mut together = Together::default();
        let keys: Vec<Key> = (0..3).map(|first| together.push(stream::iter(first * 10..first * 10 + 3))).collect();
        let mut read = Vec::new();
        while let Some((key, item)) = together.next().await {
            read.push((keys.iter().position(|one| *one == key).unwrap(), item));
        }
        let turn = |at: u32| (0..3).map(move |one| (one as usize, (at < 3).then_some(one * 10 + at)));
        assert_eq!(read, (0..4).flat_map(turn).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn one_that_waited_alone_is_heard_when_there_are_more() {
        let mut together = Together::default();
        let (first, stream) = channel();
        let a = together.push(stream);
        assert!(together.next().now_or_never().is_none());
        let (second, stream) = channel();
        let b = together.push(stream);
        first.try_send(1).unwrap();
        assert_eq!(together.next().await, Some((a, Some(1))));
        assert!(together.next().now_or_never().is_none());
        second.try_send(2).unwrap();
        first.try_send(3).unwrap();
        assert_eq!(together.next().await, Some((b, Some(2))));
        assert_eq!(together.next().await, Some((a, Some(3))));
    }

    #[tokio::test]
    async fn what_was_removed_is_dropped_and_says_nothing() {
        let mut together = Together::default();
        let (first, stream) = channel();
        let a = together.push(stream);
        let (second, stream) = channel();
        let b = together.push(stream);
        first.try_send(1).unwrap();
        together.remove(a);
        together.remove(a);
        assert!(first.is_closed());
        let (third, stream) = channel();
        let c = together.push(stream);
        assert_eq!(c, a, "a key is given again");
        assert!(together.next().now_or_never().is_none());
        third.try_send(3).unwrap();
        second.try_send(2).unwrap();
        assert_eq!(together.next().await, Some((c, Some(3))));
        assert_eq!(together.next().await, Some((b, Some(2))));
        together.remove(b);
        together.remove(c);
        assert!(together.is_empty() && together.next().await.is_none());
        for _ in 0..1000 {
            let key = together.push(channel().1);
            together.remove(key);
        }
        assert!(together.several.is_some_and(|several| several.due.is_empty()));
    }

    /// Who has been told once, and is not looked at in between, is not told again and again.
    #[tokio::test]
    async fn items_of_other_threads_are_all_read() {
        const STREAMS: u32 = 50;
        const ITEMS: u32 = 2_000;
        let mut together = Together::default();
        let (senders, streams): (Vec<_>, Vec<_>) = (0..STREAMS).map(|_| channel()).unzip();
        for stream in streams {
            together.push(stream);
        }
        let sending = std::thread::spawn(move || {
            for item in 0..ITEMS {
                senders.iter().for_each(|sender| sender.blocking_send(item).unwrap());
            }
        });
        let mut next = vec![0; STREAMS as usize];
        let reading = async {
            while let Some((key, item)) = together.next().await {
                let next = &mut next[key as usize];
                assert_eq!(item, (*next < ITEMS).then_some(*next), "in order");
                *next += 1;
            }
        };
        timeout(Duration::from_secs(60), reading).await.expect("somebody was not heard");
        assert!(next.iter().all(|read| *read == ITEMS + 1));
        sending.join().unwrap();
    }
}
