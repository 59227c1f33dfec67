//! What each kind of channel is sent, byte for byte where bytes matter.

use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::Value;

use super::*;
use crate::notify::{Email, SmtpTls, Templates};

const NOW_MS: i64 = 1_763_740_801_000;

fn notification(title: &str, text: &str) -> DeliveredNotification {
    DeliveredNotification {
        id: "n-1".into(),
        title: title.into(),
        text: text.into(),
        severity: "warning".into(),
        source: "/planning".into(),
        dedup_key: String::new(),
        resolved: false,
        url: String::new(),
        data: String::new(),
        requested_at: 1_763_740_800_000,
    }
}

fn delivery(notifications: Vec<DeliveredNotification>) -> NotificationDelivery {
    NotificationDelivery { channel: "ops".into(), group_key: "late".into(), notifications, utids: vec!["UT-1".into()] }
}

fn two() -> NotificationDelivery {
    let over = DeliveredNotification {
        severity: "critical".into(),
        dedup_key: "outage/db".into(),
        resolved: true,
        url: "https://example.org/db?a=1&b".into(),
        data: r#"{"since":7}"#.into(),
        ..notification("The database is down", "")
    };
    delivery(vec![notification("Wing <7> & door", "By two days.\n*Sorry*"), over])
}

fn message(delivery: &NotificationDelivery) -> Message<'_> {
    Message { id: "d-1", delivery, now_ms: NOW_MS }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn mail(delivery: &NotificationDelivery) -> String {
    let email = Email {
        host: "smtp.example.org".into(),
        port: 587,
        tls: SmtpTls::StartTls,
        username: None,
        password: None,
        from: "COAFI <coafi@example.org>".parse().unwrap(),
        to: vec!["ops@example.org".parse().unwrap()],
    };
    let sent = super::email(&Templates::load(None).unwrap(), &message(delivery), &email).unwrap();
    String::from_utf8(sent.formatted()).unwrap()
}

/// Without what is random in it.
fn headers(mail: &str) -> String {
    let (headers, _) = mail.split_once("\r\n\r\n").unwrap();
    headers.lines().filter(|line| !line.contains("boundary=")).collect::<Vec<_>>().join("\n")
}

#[test]
fn slack_is_sent_escaped_text_and_sections() {
    let sent = slack(&Templates::load(None).unwrap(), &message(&two())).unwrap();
    expect![[r#"
        *Wing &lt;7&gt; &amp; door* (warning)
        By two days.
        *Sorry*
        _/planning_

        *Resolved: The database is down* (critical)
        _/planning_
        <https://example.org/db?a=1&amp;b>"#]]
    .assert_eq(sent["text"].as_str().unwrap());
    assert_eq!(sent["blocks"].as_array().unwrap().len(), 1);
    assert_eq!(sent["blocks"][0]["text"]["text"], sent["text"]);
}

#[test]
fn a_text_of_any_length_stays_within_what_slack_takes() {
    let long = delivery(vec![notification("t", &"word ".repeat(10_000))]);
    let sent = slack(&Templates::load(None).unwrap(), &message(&long)).unwrap();
    let text = sent["text"].as_str().unwrap();
    assert_eq!((text.chars().count(), text.ends_with('…')), (40_000, true));
    let blocks = sent["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    assert!(blocks.iter().all(|block| block["text"]["text"].as_str().unwrap().chars().count() <= 3_000));
}

#[test]
fn a_webhook_is_sent_all_there_is() {
    expect![[r#"
        {
          "data": {
            "channel": "ops",
            "groupKey": "late",
            "id": "d-1",
            "notifications": [
              {
                "data": {},
                "dedupKey": "",
                "id": "n-1",
                "requestedAt": "2025-11-21T16:00:00Z",
                "resolved": false,
                "severity": "warning",
                "source": "/planning",
                "text": "By two days.\n*Sorry*",
                "title": "Wing <7> & door",
                "url": ""
              },
              {
                "data": {
                  "since": 7
                },
                "dedupKey": "outage/db",
                "id": "n-1",
                "requestedAt": "2025-11-21T16:00:00Z",
                "resolved": true,
                "severity": "critical",
                "source": "/planning",
                "text": "",
                "title": "The database is down",
                "url": "https://example.org/db?a=1&b"
              }
            ],
            "severity": "critical",
            "title": "2 notifications: late",
            "utids": [
              "UT-1"
            ]
          },
          "timestamp": "2025-11-21T16:00:01Z",
          "type": "notification.delivery"
        }"#]]
    .assert_eq(&pretty(&webhook(&message(&two()))));
}

#[test]
fn alertmanager_is_sent_alerts_that_end() {
    let alerts = alerts(&Templates::load(None).unwrap(), &message(&two()), Duration::from_secs(3_600)).unwrap();
    expect![[r#"
        [
          {
            "annotations": {
              "description": "By two days.\n*Sorry*",
              "summary": "Wing <7> & door"
            },
            "endsAt": "2025-11-21T17:00:00Z",
            "labels": {
              "alertname": "Wing <7> & door",
              "service": "coafi",
              "severity": "warning",
              "source": "/planning"
            },
            "startsAt": "2025-11-21T16:00:00Z"
          },
          {
            "annotations": {
              "description": "",
              "summary": "The database is down"
            },
            "endsAt": "2025-11-21T16:00:00Z",
            "generatorURL": "https://example.org/db?a=1&b",
            "labels": {
              "alertname": "outage/db",
              "service": "coafi",
              "severity": "critical",
              "source": "/planning"
            },
            "startsAt": "2025-11-21T16:00:00Z"
          }
        ]"#]]
    .assert_eq(&pretty(&alerts));
}

#[test]
fn an_e_mail_has_both_forms_and_an_id_of_its_delivery() {
    let sent = mail(&two());
    let check = |expected: Expect| expected.assert_eq(&headers(&sent));
    check(expect![[r#"
        From: COAFI <coafi@example.org>
        To: ops@example.org
        Date: Fri, 21 Nov 2025 16:00:01 +0000
        Subject: [critical] 2 notifications: late
        Message-ID: <0741a320e613baac937e2644e8e96a28.coafi@example.org>
        MIME-Version: 1.0
        Content-Type: multipart/alternative;"#]]);
    assert!(sent.contains("Wing &lt;7&gt; &amp; door"), "{sent}");
    assert!(sent.contains("Wing <7> & door"), "{sent}");
}

#[test]
fn a_title_begins_no_header() {
    let sent = mail(&delivery(vec![notification("late\r\nBcc: all@example.org\r\n\r\nhello", "")]));
    assert!(!headers(&sent).lines().any(|line| line.starts_with("Bcc")), "{sent}");
    assert!(headers(&sent).contains("Subject: [warning] late  Bcc: all@example.org"), "{sent}");
}
