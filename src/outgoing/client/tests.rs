use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::header;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::*;

/// A real server; says how many connections' worth of requests it has seen.
async fn server() -> (u16, Arc<AtomicU32>) {
    let seen = Arc::new(AtomicU32::new(0));
    let counted = seen.clone();
    let pages = Router::new()
        .route("/echo", post(|body: Bytes| async { (StatusCode::IM_A_TEAPOT, [(RETRY_AFTER, "7")], body) }))
        .route("/large", get(|| async { vec![b'x'; 1_000] }))
        .route("/away", get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/echo")]) }))
        .route("/never", get(std::future::pending::<()>))
        .route("/breaks", get(|| async { Body::from_stream(futures_util::stream::iter([Ok("part"), Err("gone")])) }))
        .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(request)
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, pages).await });
    (port, seen)
}

fn client(allowed: &[&str]) -> Client {
    let allowed: Vec<Allowed> = allowed.iter().map(|text| text.parse().unwrap()).collect();
    Client::new(&allowed).unwrap()
}

fn get_of(url: &str) -> Request {
    Request {
        method: Method::GET,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(20),
        answer_bytes_max: 999,
    }
}

#[tokio::test]
async fn an_answer_is_what_the_server_says_within_its_bounds() {
    let (port, _) = server().await;
    let client = client(&["127.0.0.1"]);
    let of = |path: &str| get_of(&format!("http://127.0.0.1:{port}{path}"));
    let echoed = client.call(Request { method: Method::POST, body: "hello".into(), ..of("/echo") }).await.unwrap();
    assert_eq!((echoed.status, &echoed.body[..]), (StatusCode::IM_A_TEAPOT, &b"hello"[..]));
    assert_eq!(echoed.retry_after(jiff::Timestamp::UNIX_EPOCH), Some(Duration::from_secs(7)));
    assert_eq!(client.call(of("/away")).await.unwrap().status, StatusCode::FOUND, "a redirect is not followed");
    assert_eq!(client.call(of("/large")).await, Err(CallError::TooLarge(999)));
    let short = Duration::from_millis(50);
    assert_eq!(client.call(Request { timeout: short, ..of("/never") }).await, Err(CallError::Timeout(short)));
    assert!(matches!(client.call(of("/breaks")).await, Err(CallError::Broken(_))));
}

#[tokio::test]
async fn what_is_not_allowed_is_not_even_connected_to() {
    let (port, seen) = server().await;
    let by_address = client(&["10.0.0.0/8"]).call(get_of(&format!("http://127.0.0.1:{port}/large"))).await;
    assert_eq!(
        by_address.unwrap_err().to_string(),
        "not allowed: 127.0.0.1 is not a public address; outgoing.allow can name it"
    );
    let by_name = client(&[]).call(get_of(&format!("http://localhost:{port}/large"))).await.unwrap_err();
    assert!(matches!(&by_name, CallError::Refused(why) if why.starts_with("localhost, which is ")), "{by_name}");
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    let allowed = client(&["localhost"]).call(get_of(&format!("http://localhost:{port}/away"))).await;
    assert_eq!(allowed.unwrap().status, StatusCode::FOUND);
}

#[tokio::test]
async fn what_nobody_listens_to_or_nobody_knows_is_unreachable_and_no_url_is_told() {
    let nobody = coafi_testcontainers::free_address().unwrap().port();
    for url in [&format!("http://127.0.0.1:{nobody}/token"), "http://nobody.invalid/token"] {
        let error = client(&["127.0.0.1"]).call(get_of(url)).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable(_)), "{error}");
        assert!(!error.to_string().contains("token"), "{error}");
    }
}

#[test]
fn a_date_to_retry_after_is_judged_by_the_answers_own() {
    let answer = |retry_after: &str, date: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        date.into_iter().for_each(|date| drop(headers.insert(header::DATE, date.parse().unwrap())));
        Answer { status: StatusCode::TOO_MANY_REQUESTS, headers, body: Bytes::new() }
    };
    let now: jiff::Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
    let at = "Sun, 06 Nov 1994 08:49:37 GMT";
    let check = |answer: Answer, expected: Option<u64>| {
        assert_eq!(answer.retry_after(now), expected.map(Duration::from_secs), "{answer:?}");
    };
    check(answer("120", None), Some(120));
    check(answer(at, None), Some(7));
    check(answer(at, Some("Sun, 06 Nov 1994 08:49:36 GMT")), Some(1));
    check(answer(at, Some("Sun, 06 Nov 1994 09:00:00 GMT")), Some(0));
    for none in ["", "soon", "-1", "1.5"] {
        check(answer(none, None), None);
    }
}
