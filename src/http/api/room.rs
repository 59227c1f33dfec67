//! Room for bodies whose sender is known only by the body: strangers must not fill the memory, nor keep others out. A body takes
//! as much of it as has come, so one that is begun and not sent takes next to none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// Of all bodies together, while they are read and made into events.
const ROOM_BYTES: usize = 64 << 20;
/// What room is counted in.
const UNIT_BYTES: usize = 1 << 10;
/// For room, until others are through. Senders give up after ten seconds (GitHub) or later.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Cheap to clone: the room is the same.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// What a body is called here.
    bodies: &'static str,
    free: Arc<Semaphore>,
}

/// A body that is read, and its room, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Housed {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why there is no body.
#[derive(Debug)]
pub(super) enum NotRead {
    TooLarge,
    Broken,
    NoRoom(Problem),
}

impl Room {
    /// `bodies`: what they are called.
    pub(super) fn new(bodies: &'static str) -> Self {
        Self { bodies, free: Arc::new(Semaphore::new(ROOM_BYTES / UNIT_BYTES)) }
    }

    /// Reads a body of at most `max_bytes`.
    ///
    /// # Errors
    /// [`NotRead`]
    pub(super) async fn read(&self, body: Body, max_bytes: usize) -> Result<Housed, NotRead> {
        let mut stream: BodyDataStream = body.into_data_stream();
        let (mut bytes, mut room) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| NotRead::Broken)?;
            if bytes.len() + chunk.len() > max_bytes {
                return Err(NotRead::TooLarge);
            }
            let taken = room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = (bytes.len() + chunk.len()).div_ceil(UNIT_BYTES).saturating_sub(taken);
            if more > 0 {
                let more = self.take(more).await?;
                match &mut room {
                    Some(room) => room.merge(more),
                    none => *none = Some(more),
                }
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Housed { bytes: bytes.freeze(), _room: room })
    }

    async fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, NotRead> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let taken = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.free).acquire_many_owned(units)).await;
        let taken = taken.map_err(|_| {
            let detail = format!("too many {} at a time; allowed: {ROOM_BYTES} bytes of them", self.bodies);
            NotRead::NoRoom(Problem::unavailable(detail))
        })?;
        Ok(taken.expect("nobody closes the semaphore"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(bytes: usize) -> Body {
        Body::from(vec![b'x'; bytes])
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_find_no_room_wait_for_it_within_the_bound() {
        let room = Room::new("bodies");
        let all = room.read(body(ROOM_BYTES), ROOM_BYTES).await.unwrap();
        assert_eq!((all.bytes.len(), room.free.available_permits()), (ROOM_BYTES, 0));
        let (next, ()) = tokio::join!(room.read(body(3_000), 3_000), async { drop(all) });
        assert_eq!(next.unwrap().bytes.len(), 3_000);
        assert_eq!(room.free.available_permits(), ROOM_BYTES / UNIT_BYTES, "what is dropped is free again");

        let _all = room.read(body(ROOM_BYTES), ROOM_BYTES).await.unwrap();
        let Err(NotRead::NoRoom(problem)) = room.read(body(1), 1).await else { panic!("there is no room") };
        assert_eq!(problem.status.as_u16(), 503);
        assert!(format!("{problem:?}").contains("too many bodies at a time; allowed: 67108864 bytes"), "{problem:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_keeps_nobody_out() {
        let room = Room::new("bodies");
        let begun = || futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let never = || Body::from_stream(begun().chain(futures_util::stream::pending()));
        let slow: Vec<_> = (0..1_000).map(|_| Box::pin(room.read(never(), ROOM_BYTES))).collect();
        let mut slow = futures_util::stream::FuturesUnordered::from_iter(slow);
        assert!(tokio::time::timeout(Duration::from_secs(1), slow.next()).await.is_err(), "none of them ends");
        assert_eq!(room.free.available_permits(), ROOM_BYTES / UNIT_BYTES - 1_000);
        assert!(room.read(body(1 << 20), ROOM_BYTES).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_is_read_whole_or_not_at_all() {
        let room = Room::new("bodies");
        assert_eq!(room.read(body(0), 10).await.unwrap().bytes.len(), 0);
        assert!(matches!(room.read(body(11), 10).await, Err(NotRead::TooLarge)));
        let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"x")), Err(std::io::Error::other("gone"))]);
        assert!(matches!(room.read(Body::from_stream(broken), 10).await, Err(NotRead::Broken)));
        assert_eq!(room.free.available_permits(), ROOM_BYTES / UNIT_BYTES);
    }
}
