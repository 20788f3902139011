//! A stream as the end of a tunnel: its data is the bytes of another protocol (RFC 8441).

use std::io;

use super::failure::to_io;
use super::reader::Reader;
use super::writer::Writer;
use crate::http::h2::connection::{Data, ErrorCode};
use crate::net::{ReadHalf, WriteHalf};

impl ReadHalf for Reader<'_> {
    async fn read(&mut self, mut buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        loop {
            self.changed().await;
            let before = buffer.len();
            let result = self.link.with(|connection| {
                connection.read_data(self.key, self.pool, |payload| {
                    buffer.extend_from_slice(payload);
                    true
                })
            });
            let read = buffer.len() - before;
            match result {
                Ok(_) if read > 0 => return (Ok(read), buffer),
                Ok(Data::All) => return (Ok(0), buffer),
                Ok(Data::Part | Data::Refused) => {}
                Err(failure) => return (Err(to_io(failure)), buffer),
            }
        }
    }

    async fn readable(&mut self) -> io::Result<()> {
        self.changed().await;
        Ok(())
    }

    fn is_reusable(&mut self) -> bool {
        false
    }

    fn is_closed_by_peer(&mut self) -> bool {
        self.link.see(|connection| connection.failure(self.key).is_some())
    }

    fn abort(&mut self) {
        self.link.with(|connection| connection.reset(self.key, ErrorCode::Cancel));
    }
}

impl WriteHalf for Writer<'_> {
    async fn write_all(&mut self, buffer: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        (self.write_tunnelled(&buffer, false).await, buffer)
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.write_tunnelled(&[], true).await
    }
}
