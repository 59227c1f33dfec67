//! Reading behind producers whose transactions are still being committed.

use std::collections::BTreeMap;
use std::time::Duration;

use coafi::event::NextOffset;
use coafi::kafka::scan::{Bound, Reader};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::cluster::{PATIENCE, bootstrap, create_topics, unique};

/// Long enough for several looks at the ends.
const STAYS_OPEN: Duration = Duration::from_millis(500);

#[tokio::test]
async fn what_is_in_an_open_transaction_is_waited_for() {
    let topic = unique("settled");
    create_topics(&bootstrap(), &[(&topic, 1)]).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap()).set("transactional.id", unique("producer"));
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::<(), str>::to(&topic).payload("last")).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();

    let reader = Reader::new(&bootstrap(), &BTreeMap::new());
    let settled = reader.settled(&topic, Bound::Beginning);
    tokio::pin!(settled);
    assert!(tokio::time::timeout(STAYS_OPEN, &mut settled).await.is_err(), "nobody knows yet how it ends");
    producer.commit_transaction(PATIENCE).unwrap();
    let stretches = settled.await.unwrap();
    assert!(stretches[0].to >= NextOffset(1), "{stretches:?}");
    let record = reader.read(&stretches).unwrap().next().await.unwrap().expect("it is committed");
    assert_eq!(record.value(), Some(&b"last"[..]));
}
