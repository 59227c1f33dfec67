//! Refusals, each described once: RFC 9457 problem documents by their status.

use serde_json::{Map, Value, json};

use super::{integer, object, text};
use crate::http::api::problem::PROBLEM_JSON;

/// A status, its component, what it means, and a problem of it as it is answered.
struct Refusal {
    status: u16,
    component: &'static str,
    description: &'static str,
    /// The end of the problem's type, its title, and a detail.
    example: (&'static str, &'static str, &'static str),
}

const REFUSALS: [Refusal; 16] = [
    Refusal {
        status: 400,
        component: "Invalid",
        description: "What was sent is not JSON, does not fit its schema or is no event; errors says where",
        example: ("invalid-body", "Bad Request", "the body does not fit APIRequest.registry/update.POST"),
    },
    Refusal {
        status: 401,
        component: "Unauthorized",
        description: "There is no credential, or one that is not valid",
        example: ("unauthorized", "Unauthorized", "the key is not known here"),
    },
    Refusal {
        status: 403,
        component: "Forbidden",
        description: "The permission is missing",
        example: ("forbidden", "Forbidden", "this needs the permission api:registry/update:POST"),
    },
    Refusal {
        status: 404,
        component: "NotFound",
        description: "It is not there, or not for this principal; or, of a caller that waited, the handler says so",
        example: (
            "no-such-request",
            "Not Found",
            "this principal has made no request \"7\", or it is forgotten by now",
        ),
    },
    Refusal {
        status: 405,
        component: "NotAllowed",
        description: "Of a caller that waited: the handler does not take this method",
        example: ("method-not-allowed", "Method Not Allowed", "endpoint \"registry/update\" does not take PUT"),
    },
    Refusal {
        status: 408,
        component: "TooSlow",
        description: "The body came too slowly",
        example: ("body-timeout", "Request Timeout", "the body did not come within 10000 ms"),
    },
    Refusal {
        status: 409,
        component: "Conflict",
        description: "Something else was sent under this Idempotency-Key, or this source and id, and nothing is published; \
                      or, of a caller that waited, the handler says so",
        example: (
            "id-conflict",
            "Conflict",
            "something else was sent under this id, or by somebody else; nothing was published",
        ),
    },
    Refusal {
        status: 410,
        component: "Gone",
        description: "What the cursor leads to is not kept any more",
        example: ("cursor-expired", "Gone", "retention has taken what the cursor leads to; begin anew"),
    },
    Refusal {
        status: 412,
        component: "PreconditionFailed",
        description: "Of a caller that waited: the entry is not as If-Match or If-None-Match has it",
        example: ("precondition-failed", "Precondition Failed", "the entry is at version 4 (0: it does not exist)"),
    },
    Refusal {
        status: 413,
        component: "TooLarge",
        description: "The body is too large, or the batch has too many events",
        example: ("body-too-large", "Payload Too Large", "allowed: at most 262144 bytes"),
    },
    Refusal {
        status: 415,
        component: "UnsupportedMediaType",
        description: "The body is not of a content type that is taken here",
        example: (
            "unsupported-media-type",
            "Unsupported Media Type",
            "content type \"text/plain\" is not taken; allowed: application/json",
        ),
    },
    Refusal {
        status: 428,
        component: "PreconditionRequired",
        description: "This registry wants to be told which version is changed",
        example: (
            "precondition-required",
            "Precondition Required",
            "who writes to registry \"parts\" has to say which version is changed: If-Match, or If-None-Match: *",
        ),
    },
    Refusal {
        status: 429,
        component: "TooManyRequests",
        description: "This principal has asked too often",
        example: ("too-many-requests", "Too Many Requests", "this principal has asked too often"),
    },
    Refusal {
        status: 500,
        component: "Internal",
        description: "A bug; or, of a caller that waited, the event could not be handled and is kept",
        example: ("internal", "Internal Server Error", "this is a bug; the log has more"),
    },
    Refusal {
        status: 501,
        component: "Unprocessed",
        description: "Of a caller that waited: no route takes the event yet",
        example: ("unprocessed", "Not Implemented", "no route takes it"),
    },
    Refusal {
        status: 503,
        component: "Unavailable",
        description: "Something that is needed does not answer, and it may be unknown whether the request is published: it is \
                      to be sent again under its Idempotency-Key, or its id",
        example: ("unavailable", "Service Unavailable", "whether the request was published is not known"),
    },
];

/// `components/responses`
pub(super) fn components() -> Value {
    REFUSALS.iter().map(|refusal| (refusal.component.to_owned(), refusal.response())).collect::<Map<_, _>>().into()
}

/// Adds these statuses to an operation's responses.
pub(super) fn refer(operation: &mut Value, statuses: &[u16]) {
    let responses = object(&mut operation["responses"]);
    for refusal in REFUSALS.iter().filter(|refusal| statuses.contains(&refusal.status)) {
        let reference = format!("#/components/responses/{}", refusal.component);
        responses.insert(refusal.status.to_string(), json!({"$ref": reference}));
    }
}

impl Refusal {
    fn response(&self) -> Value {
        let (code, title, detail) = self.example;
        let kind = format!("urn:coafi:problem:{code}");
        let example = json!({"type": kind, "title": title, "status": self.status, "detail": detail});
        let content = json!({"schema": {"$ref": "#/components/schemas/Problem"}, "example": example});
        let mut response = json!({"description": self.description, "content": {PROBLEM_JSON: content}});
        match self.status {
            401 => response["headers"] = json!({"WWW-Authenticate": text("Bearer")}),
            429 | 503 => response["headers"] = json!({"Retry-After": integer("Seconds until it may be sent again")}),
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn titles_are_those_of_the_statuses() {
        for refusal in &REFUSALS {
            let status = StatusCode::from_u16(refusal.status).unwrap();
            assert_eq!(status.canonical_reason(), Some(refusal.example.1));
        }
    }
}
