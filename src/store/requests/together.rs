//! Requests that come at the same time, in one statement.
//!
//! Every statement costs the database a round trip and a flush of its log. Whoever comes while one runs waits for the next
//! one, with all others who do: the more come, the more go together, and one that comes alone waits for nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::{NewRequest, Requests, Reserved};
use crate::store::StoreError;

/// Requests of one statement.
const TOGETHER_MAX: usize = 256;

/// The table of requests, for many callers with one request each. Cheap to clone.
///
/// How many wait at a time is bounded by how many call: each waits for its answer.
#[derive(Clone, Debug)]
pub struct Together {
    reserve: Arc<Queue<Reserved>>,
    published: Arc<Queue<()>>,
}

impl Together {
    #[must_use]
    pub fn new(requests: Arc<dyn Requests>) -> Self {
        let again = Arc::clone(&requests);
        Self {
            reserve: Queue::new(move |many| {
                let requests = Arc::clone(&requests);
                Box::pin(async move { requests.reserve_each(&many).await })
            }),
            published: Queue::new(move |many| {
                let requests = Arc::clone(&again);
                Box::pin(async move { requests.published(&many).await.map(|()| vec![(); many.len()]) })
            }),
        }
    }

    /// [`Requests::reserve_each`] of one. It may be reserved although nobody waits for it any more.
    ///
    /// # Errors
    /// As there.
    pub async fn reserve(&self, request: NewRequest) -> Result<Reserved, StoreError> {
        self.reserve.ask(request).await
    }

    /// [`Requests::published`] of one.
    ///
    /// # Errors
    /// As there.
    pub async fn published(&self, request: NewRequest) -> Result<(), StoreError> {
        self.published.ask(request).await
    }
}

type Answered<A> = Result<Vec<A>, StoreError>;

/// Asks for many, and gives an answer for each in their order.
type Ask<A> = Box<dyn Fn(Vec<NewRequest>) -> BoxFuture<'static, Answered<A>> + Send + Sync>;

struct Queue<A> {
    ask: Ask<A>,
    waiting: Mutex<Waiting<A>>,
}

struct Waiting<A> {
    requests: VecDeque<(NewRequest, oneshot::Sender<Result<A, StoreError>>)>,
    /// Whether somebody asks for those who wait.
    asking: bool,
}

impl<A> std::fmt::Debug for Queue<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting().requests.len()).finish_non_exhaustive()
    }
}

impl<A: Send + 'static> Queue<A> {
    fn new(ask: impl Fn(Vec<NewRequest>) -> BoxFuture<'static, Answered<A>> + Send + Sync + 'static) -> Arc<Self> {
        let waiting = Waiting { requests: VecDeque::new(), asking: false };
        Arc::new(Self { ask: Box::new(ask), waiting: Mutex::new(waiting) })
    }

    #[expect(clippy::disallowed_methods, reason = "whoever asks for others must not go with its own caller")]
    async fn ask(self: &Arc<Self>, request: NewRequest) -> Result<A, StoreError> {
        let (tell, told) = oneshot::channel();
        let others_ask = {
            let mut waiting = self.waiting();
            waiting.requests.push_back((request, tell));
            std::mem::replace(&mut waiting.asking, true)
        };
        if !others_ask {
            // It ends when nobody waits, and every statement within the store's time-outs.
            tokio::spawn(Asking { queue: Arc::clone(self), ended: false }.until_nobody_waits());
        }
        told.await.unwrap_or_else(|_| Err(StoreError::Other("what asked for this request ended".to_owned())))
    }
}

impl<A> Queue<A> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever asks for those who wait. If that one dies, they are told, and the next to come asks.
struct Asking<A> {
    queue: Arc<Queue<A>>,
    ended: bool,
}

impl<A: Send + 'static> Asking<A> {
    async fn until_nobody_waits(mut self) {
        loop {
            let (requests, tell): (Vec<_>, Vec<_>) = {
                let mut waiting = self.queue.waiting();
                let count = waiting.requests.len().min(TOGETHER_MAX);
                if count == 0 {
                    // Under the same lock: whoever comes next must not rely on this one.
                    waiting.asking = false;
                    self.ended = true;
                    return;
                }
                waiting.requests.drain(..count).unzip()
            };
            self.round(requests, tell).await;
        }
    }

    /// Of many that are refused together each is asked for alone, so that only what is wrong itself is refused. If the database
    /// does not answer, that is everybody's answer.
    async fn round(&self, requests: Vec<NewRequest>, tell: Vec<oneshot::Sender<Result<A, StoreError>>>) {
        let answers = match (self.queue.ask)(requests.clone()).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if requests.len() == 1 || matches!(error, StoreError::Unavailable { .. }) => {
                requests.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in requests {
                    answers.push((self.queue.ask)(vec![request]).await.map(|mut only| only.remove(0)));
                }
                answers
            }
        };
        for (tell, answer) in tell.into_iter().zip(answers) {
            // Somebody who went away needs none.
            drop(tell.send(answer));
        }
    }
}

impl<A> Drop for Asking<A> {
    fn drop(&mut self) {
        if !self.ended {
            let mut waiting = self.queue.waiting();
            waiting.asking = false;
            waiting.requests.clear();
        }
    }
}
