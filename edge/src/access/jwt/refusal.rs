//! Why a token lets nobody in.

use strum::{IntoStaticStr, VariantArray};

/// Why a token lets nobody in. Clients are told none of it: whoever has no right learns nothing of what would give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum Refusal {
    #[error("it is longer than 8 KiB")]
    TooLong,
    #[error("it is no signed JWT in its compact form")]
    Malformed,
    #[error("its header has `crit`, and this gateway knows no extension")]
    Critical,
    #[error("no configured issuer has its `iss`")]
    Issuer,
    #[error("its `alg` is none that the issuer is allowed to use")]
    Algorithm,
    #[error("no key of the issuer has its `kid` and fits its `alg`")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired, or has no `exp`")]
    Expired,
    #[error("its `nbf` or `iat` lies in the future")]
    NotYet,
    #[error("its `aud` is none of the issuer's `audiences`")]
    Audience,
    #[error("a claim that `require` names is missing or has another value")]
    Required,
    #[error("the claim of `subject` is missing or is no text")]
    Subject,
    #[error("the claim of `tenant` is missing or is no name of a tenant")]
    Tenant,
    #[error("no tenant has this id: make it, or set `unknown_tenants: accept`")]
    UnknownTenant,
}

impl Refusal {
    /// The issuer has signed the token: the mistake is one that its operator or ours can mend.
    pub fn is_of_a_signed_token(self) -> bool {
        match self {
            Self::TooLong
            | Self::Malformed
            | Self::Critical
            | Self::Issuer
            | Self::Algorithm
            | Self::UnknownKey
            | Self::Signature => false,
            Self::Expired
            | Self::NotYet
            | Self::Audience
            | Self::Required
            | Self::Subject
            | Self::Tenant
            | Self::UnknownTenant => true,
        }
    }
}
