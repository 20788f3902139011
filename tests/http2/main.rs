//! HTTP/2 and gRPC against foreign peers, on both drivers: nghttp, h2load, curl and Chromium of Debian, `httpwg` of crates.io, and clients
//! and servers on h2, grpcio, websockets and kosoku of PyPI. `scripts/http2-tools.sh` installs what is not Debian's.

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod curl;
mod ends;
mod frames;
mod grpc;
mod nghttp2;
mod peers;
mod proxy;
mod suite;
mod switched_off;
mod tools;
mod websockets;
