//! Why a message is not taken.

/// What is wrong with it, as a constant that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No envelope, or no CloudEvent.
    Malformed,
    TooLarge,
    /// Signed by something else than Ed25519.
    Algorithm,
    UnknownKey,
    /// The key is not valid yet, or not any more.
    KeyNotValid,
    BadSignature,
    /// Another domain's.
    Issuer,
    /// For somebody else.
    Audience,
    Expired,
    /// Of the future.
    NotYet,
    /// Valid for longer than is allowed.
    Lifetime,
    /// A type that only COAFI itself gives to events.
    TypeNotAllowed,
}

impl Refusal {
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Algorithm => "algorithm_not_allowed",
            Self::UnknownKey => "unknown_key",
            Self::KeyNotValid => "key_not_valid",
            Self::BadSignature => "bad_signature",
            Self::Issuer => "wrong_issuer",
            Self::Audience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYet => "not_yet_valid",
            Self::Lifetime => "lifetime_too_long",
            Self::TypeNotAllowed => "type_not_allowed",
        }
    }

    /// Whether who sent it is not known, rather than what was sent not understood.
    #[must_use]
    pub const fn is_of_authenticity(self) -> bool {
        !matches!(self, Self::Malformed | Self::TooLarge | Self::TypeNotAllowed)
    }

    pub(super) fn because(self, detail: impl Into<String>) -> Refused {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Refused { refusal: self, detail }
    }
}

/// Of what is said of one message: parts of it are the sender's.
const DETAIL_BYTES_MAX: usize = 512;

/// A message that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", .refusal.code())]
pub struct Refused {
    pub refusal: Refusal,
    /// For people; says nothing of keys but their ids.
    pub detail: String,
}
