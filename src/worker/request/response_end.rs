//! The end of a response: what the access log and the operator learn of it.

use super::request_record::RequestRecord;
use crate::worker::message::stream::{RelayError, ResponseReader};
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Records the end of a response, and logs what the server did wrong.
pub fn end_response<R: ResponseReader, D: Dial>(
    worker: &Worker<D>,
    reader: &R,
    result: Result<(), RelayError>,
    record: &mut RequestRecord<'_>,
) {
    record.delivered(reader.payload_bytes(), &result);
    let Some((frontend, endpoint)) = record.server() else { return };
    worker.log_deviations(endpoint, reader.deviations());
    worker.log_cut_response(frontend, endpoint, result);
}
