//! Whether a response's body is compressed, and the gzip encoder that compresses it.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Shorter responses are sent as they are: gzip would not pay.
pub const GZIP_BYTES_MIN: usize = 512;

/// What happens to a response's body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CompressionPlan {
    /// Passes untouched.
    #[default]
    Plain,
    /// Goes through [`Gzip`]; the head has been changed already. The body is sent chunked.
    Gzip,
    /// Its length is unknown: the worker collects [`GZIP_BYTES_MIN`] bytes before it sends the head. If they come, it calls
    /// [`announce`] and goes on as with [`BodyPlan::Gzip`]; if the body ends before, it passes untouched.
    GzipIfLong,
}

/// The body filter: plain bytes in, gzip bytes appended to the caller's buffer.
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
    /// Takes a piece; `out` may stay empty until enough has come.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.write_all(piece)?;
        self.drain(out);
        Ok(())
    }

    /// Everything taken so far becomes readable for the client: called when the backend pauses.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.flush()?;
        self.drain(out);
        Ok(())
    }

    /// The end of the body.
    pub fn finish(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.encoder.try_finish()?;
        self.drain(out);
        Ok(())
    }

    fn drain(&mut self, out: &mut Vec<u8>) {
        out.append(self.encoder.get_mut());
    }
}
