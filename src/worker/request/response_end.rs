//! The end of a response: what the access log and the operator learn of it.

use super::request_record::RequestRecord;
use crate::http::deviation::Deviations;
use crate::worker::message::stream::{RelayError, ResponseReader};
use crate::worker::resources::dial::Dial;
use crate::worker::worker::Worker;

/// Records the end of a response, and logs what the server did wrong.
#[inline]
pub fn end_response<R: ResponseReader, D: Dial>(
    worker: &Worker<D>,
    reader: &R,
    result: Result<(), RelayError>,
    record: &mut RequestRecord<'_>,
) {
    record.delivered(reader.payload_bytes(), &result);
    let deviations = reader.deviations();
    if result.is_err() || !deviations.is_empty() {
        log_faults(worker, deviations, result, record);
    }
}

#[cold]
fn log_faults<D: Dial>(
    worker: &Worker<D>,
    deviations: Deviations,
    result: Result<(), RelayError>,
    record: &RequestRecord<'_>,
) {
    let Some((frontend, endpoint)) = record.server() else { return };
    worker.log_deviations(endpoint, deviations);
    worker.log_cut_response(frontend, endpoint, result);
}
