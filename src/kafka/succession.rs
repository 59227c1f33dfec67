//! The producers of one transactional id, one after the other. The initialisation of each ends what its predecessor left open.
//!
//! | what fails | what follows |
//! |---|---|
//! | the producer, for good | the next one, unless that was too often (`fatalities`) |
//! | the initialisation: a broker is away, a coordinator moves, a transaction is being ended | it is waited for |

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer;
use tracing::info;

use super::DriverError;
use super::config::Config;
use super::context::Reporter;
use super::fatalities::{Fatalities, Fatality};
use super::sink::{Failures, Sink};
use super::stop::Stop;

/// One look at the initialisation, which librdkafka goes on with between looks.
const LOOK: Duration = Duration::from_secs(5);
/// The first one, in passing.
const FIRST_LOOK: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Succession {
    config: Arc<Config>,
    reporter: Reporter,
    stop: Stop,
    current: Arc<Incumbent>,
    /// It has its id and epoch, and what was open under the id has ended.
    initialised: bool,
    fatalities: Fatalities,
}

/// A producer, and what failed of its deliveries. Whoever makes a call of it that may take long keeps it for that time.
pub(super) struct Incumbent {
    pub(super) sink: Sink<Failures>,
    pub(super) failures: Arc<Failures>,
}

impl Incumbent {
    fn new(config: &Config, reporter: &Reporter) -> Result<Arc<Self>, DriverError> {
        let failures = Arc::<Failures>::default();
        let sink = Sink::new(&config.outcome_producer()?, reporter.clone(), Arc::clone(&failures))?;
        Ok(Arc::new(Self { sink, failures }))
    }

    pub(super) fn is_fenced(&self) -> bool {
        self.sink.producer().client().fatal_error().is_some_and(|(code, _)| is_fencing(code))
    }
}

impl Succession {
    /// The first producer, initialised. Waits for the brokers.
    pub(super) fn start(config: Arc<Config>, reporter: Reporter, stop: Stop) -> Result<Self, DriverError> {
        let current = Incumbent::new(&config, &reporter)?;
        let fatalities = Fatalities::default();
        let mut this = Self { config, reporter, stop, current, initialised: false, fatalities };
        this.initialise()?;
        Ok(this)
    }

    /// The producer, if it is initialised.
    pub(super) fn incumbent(&self) -> Option<&Arc<Incumbent>> {
        self.initialised.then_some(&self.current)
    }

    /// Waits until the producer is initialised. Returns without only when the replica ends.
    pub(super) fn initialise(&mut self) -> Result<(), DriverError> {
        while !self.initialised {
            self.try_to_initialise(LOOK)?;
            self.reporter.status.update(|status| status.producer_ready = self.initialised);
            if !self.initialised && self.stop.wait(PAUSE) {
                break;
            }
        }
        Ok(())
    }

    /// The next producer, whose initialisation ends what is open, and every sequence of records. It is begun here, and waited
    /// for before the next transaction. `timed_out`: a transaction of the last one was open for longer than it may be.
    pub(super) fn replace(&mut self, why: &KafkaError, timed_out: bool) -> Result<(), DriverError> {
        info!(id = self.config.transactional_id(), "transactional producer is made anew: {why}");
        self.count_fatal(timed_out)?;
        self.renew()?;
        self.try_to_initialise(FIRST_LOOK)
    }

    /// The producer has committed: what failed before does not come back with every one.
    pub(super) fn committed(&mut self) {
        self.fatalities.committed();
    }

    fn renew(&mut self) -> Result<(), DriverError> {
        self.initialised = false;
        // Where a call of it has not ended, it lives until then.
        self.current.sink.forsake();
        self.current = Incumbent::new(&self.config, &self.reporter)?;
        Ok(())
    }

    fn try_to_initialise(&mut self, timeout: Duration) -> Result<(), DriverError> {
        match self.current.sink.producer().init_transactions(timeout) {
            Ok(()) => self.initialised = true,
            Err(KafkaError::Transaction(e)) if is_misconfigured(e.code()) => {
                return Err(DriverError::Producer { message: e.to_string() });
            }
            Err(KafkaError::Transaction(e)) if e.is_fatal() => {
                self.count_fatal(false)?;
                self.renew()?;
            }
            // A broker that is away, a coordinator that moves, a predecessor's transaction that is being ended.
            Err(_) => {}
        }
        Ok(())
    }

    /// An error if producers fail for good too often.
    fn count_fatal(&mut self, timed_out: bool) -> Result<(), DriverError> {
        let Some((code, message)) = self.current.sink.producer().client().fatal_error() else { return Ok(()) };
        let fatality = if is_fencing(code) { Fatality::Fenced } else { Fatality::Other };
        // The coordinator itself fences who has a transaction open for too long.
        if fatality == Fatality::Fenced && timed_out {
            return Ok(());
        }
        match (self.fatalities.note(Instant::now(), fatality), fatality) {
            (None, _) => Ok(()),
            (Some(times), Fatality::Fenced) => {
                Err(DriverError::SlotConflict { id: self.config.transactional_id(), times })
            }
            (Some(_), Fatality::Other) => Err(DriverError::Producer { message }),
        }
    }
}

fn is_fencing(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch)
}

fn is_misconfigured(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTransactionTimeout
            | RDKafkaErrorCode::UnsupportedFeature
    )
}
