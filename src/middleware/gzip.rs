//! How a response's body is sent, plain or compressed, and the gzip encoder that compresses it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Responses shorter than this are sent plain: compressing them would not save anything.
pub const GZIP_BYTES_MIN: usize = 512;

/// How a response's body is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CompressionPlan {
    /// Unchanged.
    #[default]
    Plain,
    /// Compressed by [`Gzip`] and sent chunked. The fields of the head have been changed already.
    Gzip,
    /// For a body of unknown length: the worker collects [`GZIP_BYTES_MIN`] bytes before it sends the head. If they arrive, or if the
    /// server pauses, it calls [`announce`](super::compress::announce) and continues as with [`CompressionPlan::Gzip`]; if the body ends
    /// before, the body is sent plain.
    GzipIfLong,
}

/// The encoder of one body: takes plain bytes and appends gzip bytes to the caller's buffer.
#[derive(Debug)]
pub struct Gzip {
    encoder: GzEncoder<Vec<u8>>,
}

impl Default for Gzip {
    fn default() -> Self {
        Gzip { encoder: GzEncoder::new(Vec::new(), Compression::default()) }
    }
}

impl Gzip {
    /// Compresses `piece`; `out` may stay empty until the encoder has enough input for a block.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.write_all(piece)?;
        self.drain(out);
        Ok(())
    }

    /// Writes out all input so far, so that the client can read it: called when the backend pauses.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.flush()?;
        self.drain(out);
        Ok(())
    }

    /// Ends the body and writes its trailer.
    pub fn finish(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.try_finish()?;
        self.drain(out);
        Ok(())
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        out.append(self.encoder.get_mut());
    }
}
