//! Amazon Route 53: the API of 2013-04-01, whose requests are signed.

mod credentials;
mod sigv4;
mod xml;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::{Method, Uri};
use tokio::sync::Mutex;

use crate::control::acme::dns::api::{Api, Call, Reply, escape};
use crate::control::acme::dns::error::DnsError;
use crate::control::acme::dns::variables::{Timing, Variables};

use super::task::{RecordIds, Task};
use credentials::Source;
use sigv4::{Scope, Signable};

const VERSION: &str = "2013-04-01";
/// The service is the same in all regions of a partition: the beginning of a region's name, the endpoint, and the region that signs.
const PARTITIONS: [(&str, &str, &str); 3] = [
    ("cn-", "https://route53.amazonaws.com.cn", "cn-northwest-1"),
    ("us-gov-", "https://route53.us-gov.amazonaws.com", "us-gov-west-1"),
    ("", "https://route53.amazonaws.com", "us-east-1"),
];

/// The client.
pub struct Route53 {
    api: Api,
    region: &'static str,
    source: Source,
    zone_id: Option<String>,
    is_private: bool,
    waits_for_change: bool,
    timing: Timing,
    /// Held from reading the records of a name until they are written.
    change: Mutex<()>,
    /// The changes that are not in effect everywhere yet.
    changes: RecordIds,
}

/// The TXT records of a name.
struct RecordSet {
    ttl_secs: u32,
    /// With their quotes.
    values: Vec<String>,
}

impl Route53 {
    /// Reads `AWS_...`.
    pub fn new(variables: &mut Variables<'_>) -> (Route53, Timing) {
        let defaults = Timing {
            propagation_timeout: Duration::from_secs(120),
            polling_interval: Duration::from_secs(4),
            ttl_secs: 10,
            ..Timing::default()
        };
        let timing = variables.timing(&["AWS_"], defaults);
        let region = variables.first(&["AWS_REGION", "AWS_DEFAULT_REGION"]).unwrap_or_default();
        let partition = PARTITIONS.iter().find(|(prefix, ..)| region.starts_with(prefix));
        let (_, endpoint, region) = partition.copied().unwrap_or(PARTITIONS[2]);
        let base = variables.first(&["AWS_ENDPOINT_URL_ROUTE_53", "AWS_ENDPOINT_URL"]);
        let base = base.unwrap_or_else(|| endpoint.to_owned());
        if variables.first(&["AWS_ASSUME_ROLE_ARN"]).is_some() {
            variables.problem(
                "AWS_ASSUME_ROLE_ARN is not supported: give the key or the machine's role itself the rights on the zone".to_owned(),
            );
        }
        let zone_id = variables.first(&["AWS_HOSTED_ZONE_ID"]);
        let zone_id = zone_id.map(|id| id.trim_start_matches("/hostedzone/").to_owned());
        let is_private = variables.flag("AWS_PRIVATE_ZONE", false);
        let waits_for_change = variables.flag("AWS_WAIT_FOR_RECORD_SETS_CHANGED", true);
        let source = Source::new(variables);
        let api = Api::new("route53", &base, timing.http_timeout, &source.secrets());
        let (change, changes) = (Mutex::new(()), RecordIds::default());
        (Route53 { api, region, source, zone_id, is_private, waits_for_change, timing, change, changes }, timing)
    }

    pub async fn present(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let (zone, own) = (self.hosted_zone(task).await?, quoted(task));
        let _change = self.change.lock().await;
        let mut values = self.records(&zone, task).await?.map_or(Vec::new(), |found| found.values);
        if !values.contains(&own) {
            values.push(own);
        }
        let id = self.write(&zone, task, "UPSERT", self.timing.ttl_secs, &values).await?;
        if self.waits_for_change {
            self.changes.remember(task, id);
        }
        Ok(())
    }

    pub async fn clean_up(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let (zone, own) = (self.hosted_zone(task).await?, quoted(task));
        let _change = self.change.lock().await;
        let Some(found) = self.records(&zone, task).await?.filter(|found| found.values.contains(&own)) else {
            return Ok(());
        };
        let others: Vec<String> = found.values.iter().filter(|value| **value != own).cloned().collect();
        match others.is_empty() {
            // A deletion must name the records exactly as they are.
            true => self.write(&zone, task, "DELETE", found.ttl_secs, &found.values).await,
            false => self.write(&zone, task, "UPSERT", found.ttl_secs, &others).await,
        }
        .map(drop)
    }

    /// The identifier of the hosted zone that the record is in.
    async fn hosted_zone(&self, task: &Task<'_>) -> Result<String, DnsError> {
        if let Some(id) = &self.zone_id {
            return Ok(escape(id));
        }
        let (zone, _) = task.zone().await?;
        let path = format!("/{VERSION}/hostedzonesbyname?dnsname={}", escape(&zone));
        let reply = self.request(Call::new(Method::GET, path)).await?;
        let is_wanted = |found: &&str| {
            let name = xml::text(found, "Name").unwrap_or_default();
            let is_private = xml::text(found, "PrivateZone").as_deref() == Some("true");
            name.trim_end_matches('.').eq_ignore_ascii_case(&zone) && is_private == self.is_private
        };
        let found = xml::elements(&reply.body, "HostedZone").into_iter().find(is_wanted);
        let id = found.and_then(|found| xml::text(found, "Id"));
        let id =
            id.ok_or_else(|| self.api.error(&format!("there is no hosted zone {zone}: set AWS_HOSTED_ZONE_ID")))?;
        Ok(escape(id.trim_start_matches("/hostedzone/")))
    }

    /// The TXT records of the name; `None` if there are none.
    async fn records(&self, zone: &str, task: &Task<'_>) -> Result<Option<RecordSet>, DnsError> {
        let name = escape(task.fqdn);
        // The list begins with this name and type, and goes on behind it.
        let path = format!("/{VERSION}/hostedzone/{zone}/rrset?maxitems=1&name={name}&type=TXT");
        let reply = self.request(Call::new(Method::GET, path)).await?;
        let is_own = |set: &&str| {
            xml::text(set, "Name").is_some_and(|name| name.eq_ignore_ascii_case(task.fqdn))
                && xml::text(set, "Type").as_deref() == Some("TXT")
        };
        let Some(set) = xml::elements(&reply.body, "ResourceRecordSet").into_iter().find(is_own) else {
            return Ok(None);
        };
        let ttl_secs = xml::text(set, "TTL").and_then(|ttl| ttl.parse().ok()).unwrap_or(self.timing.ttl_secs);
        let values = xml::elements(set, "ResourceRecord").into_iter().filter_map(|record| xml::text(record, "Value"));
        Ok(Some(RecordSet { ttl_secs, values: values.collect() }))
    }

    /// Changes the records of the name; returns the identifier of the change.
    async fn write(
        &self,
        zone: &str,
        task: &Task<'_>,
        action: &str,
        ttl_secs: u32,
        values: &[String],
    ) -> Result<String, DnsError> {
        let record = |value: &String| format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", xml::escape(value));
        let records: String = values.iter().map(record).collect();
        let name = xml::escape(task.fqdn);
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/{VERSION}/\"><ChangeBatch><Changes><Change>\
             <Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>TXT</Type><TTL>{ttl_secs}</TTL>\
             <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>\
             </ChangeResourceRecordSetsRequest>"
        );
        let path = format!("/{VERSION}/hostedzone/{zone}/rrset/");
        let call = Call { body, content_type: "application/xml", ..Call::new(Method::POST, path) };
        let reply = self.request(call).await?;
        let id = xml::text(&reply.body, "Id").ok_or_else(|| self.api.error("the response has no ChangeInfo"))?;
        Ok(id.trim_start_matches("/change/").to_owned())
    }

    /// Waits until all servers of the service have the record.
    pub async fn settle(&self, task: &Task<'_>) -> Result<(), DnsError> {
        let Some(id) = self.changes.take(task) else { return Ok(()) };
        loop {
            let reply = self.request(Call::new(Method::GET, format!("/{VERSION}/change/{}", escape(&id)))).await?;
            if xml::text(&reply.body, "Status").as_deref() == Some("INSYNC") {
                return Ok(());
            }
            tokio::time::sleep(self.timing.polling_interval).await;
        }
    }

    /// Signs and sends a request that must succeed.
    async fn request(&self, mut call: Call) -> Result<Reply, DnsError> {
        let credentials = self.source.credentials().await?;
        let host = self.api.base.parse::<Uri>().ok().and_then(|uri| Some(uri.authority()?.as_str().to_owned()));
        let host = host.ok_or_else(|| self.api.error("the endpoint is no URL: see AWS_ENDPOINT_URL"))?;
        let date = timestamp(SystemTime::now());
        call = call.header("x-amz-date", date.clone());
        if let Some(token) = &credentials.token {
            call = call.header("x-amz-security-token", token.clone());
        }
        let mut headers = vec![("host", host.as_str())];
        headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
        let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        let request = Signable { method: call.method.as_str(), path, query, headers: &headers, body: &call.body };
        let scope = Scope { region: self.region, service: "route53", date: &date };
        let authorization = sigv4::authorization(&request, &scope, &credentials);
        let call = call.header("Authorization", authorization);
        let reply = self.api.send(&call).await?;
        if reply.is_success() {
            return Ok(reply);
        }
        let reason = |name: &str| xml::text(&reply.body, name);
        match reason("Code").zip(reason("Message")) {
            Some((code, message)) => {
                Err(self.api.error(&format!("{} answers {}: {code}: {message}", call.label(), reply.status)))
            }
            None => Err(self.api.refusal(&call, &reply)),
        }
    }
}

fn quoted(task: &Task<'_>) -> String {
    format!("\"{}\"", task.value)
}

/// The time as `YYYYMMDD'T'HHMMSS'Z'`.
fn timestamp(time: SystemTime) -> String {
    let secs = time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let (days, second) = (secs / 86_400, secs % 86_400);
    // Years of 400-year cycles that begin in March, so that the leap day is the last day of a year.
    let day_of_era_start = days + 719_468;
    let (era, day) = (day_of_era_start / 146_097, day_of_era_start % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod timestamp_tests {
    use super::*;

    #[test]
    fn timestamp_is_the_utc_time() {
        for (secs, expected) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_440_938_160, "20150830T123600Z"),
            (1_798_761_599, "20261231T235959Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(secs)), expected);
        }
    }
}

#[cfg(test)]
mod tests;
