//! `coafi group lag` against committed offsets.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use coafi::config::Settings;
use coafi::kafka::{LagError, group_lag};

use crate::cluster::{Written, bootstrap, commit, create_topics, produce, unique};

const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn lag_is_counted_from_the_committed_position() {
    let (topic, group) = (unique("lag"), unique("group"));
    create_topics(&bootstrap(), &[(&topic, 1)]).await;
    let records = (0..5).map(|_| Written { key: "k", value: "v", headers: None });
    produce(&bootstrap(), &topic, None, records);
    let mut kafka = Settings::default().kafka;
    (kafka.bootstrap_servers, kafka.group_id) = (bootstrap(), group.clone());

    assert!(group_lag(&kafka, &[], TIMEOUT).unwrap().partitions.is_empty(), "nothing is committed");
    let named = group_lag(&kafka, std::slice::from_ref(&topic), TIMEOUT).unwrap();
    assert_eq!((named.partitions[0].committed, named.total()), (None, 5));

    commit(&group, &topic, 0, 2);
    let lag = group_lag(&kafka, &[], TIMEOUT).unwrap();
    assert_eq!((lag.partitions.len(), lag.partitions[0].committed, lag.total()), (1, Some(2), 3));
    let oldest_ms = lag.partitions[0].oldest_ms.expect("the record at the position has a time");
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let age_ms = now_ms.abs_diff(u128::try_from(oldest_ms).unwrap());
    assert!(age_ms < 600_000, "{age_ms} ms: it was written in this test");
    let unknown = group_lag(&kafka, &[unique("nowhere")], TIMEOUT).unwrap_err();
    assert!(matches!(unknown, LagError::UnknownTopic { .. }), "{unknown}");

    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coafi"));
        command.args(["group", "lag", "--group", &group]).args(arguments);
        command.env("COAFI__KAFKA__BOOTSTRAP_SERVERS", bootstrap()).output().unwrap()
    };
    let json = run(&["--output", "json"]);
    let expected = format!(
        "{{\"group\":\"{group}\",\"total\":3,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"committed\":2,\
         \"end\":5,\"lag\":3,\"unfetched\":3,\"waiting\":0,\"in_flight\":0,\"parked\":0,\"retrying\":0,\
         \"oldest_ms\":{oldest_ms},\"replica\":null,\"as_of_ms\":null}}]}}\n"
    );
    assert_eq!(String::from_utf8(json.stdout).unwrap(), expected);
    assert_eq!(run(&["--max", "3"]).status.code(), Some(0));
    assert_eq!(run(&["--max", "2"]).status.code(), Some(1), "further behind than allowed");
}
