//! HTTP/2: heads to header blocks and back.

mod pack;
