//! Certificates of the other side, made by openssl when the test runs: which servers and clients are accepted, compared with Go's verifier,
//! and what the running proxy does with them on both drivers (docs/reference/static-configuration.md#certificates-of-the-other-side).

#[path = "../support/mod.rs"]
mod base;
mod bundles;
mod clients;
mod openssl;
mod proxy;
mod servers;
mod verdicts;
