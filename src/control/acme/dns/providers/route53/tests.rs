//! Route 53 against a scripted server.

use super::super::scripted_tests::{Recorded, Service, example_record, example_zone};
use super::super::{Provider, Task};
use super::sigv4::{Credentials, Scope, Signable, authorization};
use crate::control::acme::dns::DnsError;
use crate::control::acme::dns::variables::Variables;

const FQDN: &str = "_acme-challenge.www.example.com.";
const KEY: [(&str, &str); 3] =
    [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ENDPOINT_URL_ROUTE_53", "BASE")];
const CHANGED: &str = "<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>";
const NO_RECORDS: &str = "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>other.example.com.</Name><Type>TXT</Type><TTL>5</TTL><ResourceRecords><ResourceRecord><Value>\"x\"</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>";

fn provider(set: &[(&str, &str)], service: &Service) -> Provider {
    let environment = |name: &str| {
        let (_, value) = set.iter().find(|(known, _)| *known == name)?;
        Some(value.replace("BASE", &service.base))
    };
    Provider::new("route53", Variables::new(&environment)).unwrap().0
}

async fn present_and_clean_up(provider: &Provider) -> Result<(), DnsError> {
    let (record, resolver) = (example_record(), example_zone().await);
    let task = Task { record: &record, fqdn: FQDN, value: "own", resolver: &resolver };
    provider.present(&task).await?;
    provider.settle(&task).await?;
    provider.clean_up(&task).await
}

fn records(values: &[&str]) -> String {
    let records: String = values
        .iter()
        .map(|value| format!("<ResourceRecord><Value>&quot;{value}&quot;</Value></ResourceRecord>"))
        .collect();
    format!(
        "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>{FQDN}</Name><Type>TXT</Type><TTL>77</TTL>\
         <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></ResourceRecordSets></ListResourceRecordSetsResponse>"
    )
}

fn change(action: &str, ttl: u32, values: &[&str]) -> String {
    let records: String = values
        .iter()
        .map(|value| format!("<ResourceRecord><Value>&quot;{value}&quot;</Value></ResourceRecord>"))
        .collect();
    format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change>\
         <Action>{action}</Action><ResourceRecordSet><Name>{FQDN}</Name><Type>TXT</Type><TTL>{ttl}</TTL><ResourceRecords>{records}\
         </ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )
}

/// Signs the request as it arrived, and compares.
fn assert_signed(request: &Recorded, service: &Service, token: Option<&str>) {
    let (method, target) = request.line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let host = service.base.trim_start_matches("http://");
    assert_eq!(request.header("Host"), host);
    let date = request.header("x-amz-date");
    let mut headers = vec![("host", host), ("x-amz-date", date)];
    headers.extend(token.map(|token| ("x-amz-security-token", token)));
    let signable = Signable { method, path, query, headers: &headers, body: &request.body };
    let scope = Scope { region: "us-east-1", service: "route53", date };
    let credentials = Credentials { key_id: "AKID".into(), secret: "secret".into(), token: None };
    assert_eq!(request.header("Authorization"), authorization(&signable, &scope, &credentials));
    assert_eq!(request.header("x-amz-security-token"), token.unwrap_or_default());
}

#[tokio::test]
async fn route53_adds_the_value_to_those_of_the_name_and_removes_it_alone() {
    let zones = "<ListHostedZonesByNameResponse><HostedZones>\
        <HostedZone><Id>/hostedzone/ZPRIVATE</Id><Name>example.com.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone>\
        <HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone>\
        </HostedZones></ListHostedZonesByNameResponse>";
    let (other, both) = (records(&["other"]), records(&["other", "own"]));
    let in_sync = CHANGED.replace("PENDING", "INSYNC");
    let service = Service::start(&[
        (200, zones),
        (200, &other),
        (200, CHANGED),
        (200, CHANGED),
        (200, &in_sync),
        (200, zones),
        (200, &both),
        (200, CHANGED),
    ]);
    let mut set = KEY.to_vec();
    set.extend([("AWS_REGION", "eu-central-1"), ("AWS_POLLING_INTERVAL", "0"), ("AWS_SESSION_TOKEN", "session")]);
    present_and_clean_up(&provider(&set, &service)).await.unwrap();
    let requests = service.requests();
    let lines: Vec<&str> = requests.iter().map(|request| request.line.as_str()).collect();
    let by_name = "GET /2013-04-01/hostedzonesbyname?dnsname=example.com";
    let list = "GET /2013-04-01/hostedzone/Z1/rrset?maxitems=1&name=_acme-challenge.www.example.com.&type=TXT";
    let write = "POST /2013-04-01/hostedzone/Z1/rrset/";
    let wait = "GET /2013-04-01/change/C1";
    assert_eq!(lines, [by_name, list, write, wait, wait, by_name, list, write]);
    assert_eq!(requests[2].body, change("UPSERT", 10, &["other", "own"]));
    assert_eq!(requests[7].body, change("UPSERT", 77, &["other"]));
    requests.iter().for_each(|request| assert_signed(request, &service, Some("session")));
}

#[tokio::test]
async fn route53_deletes_the_records_if_no_other_value_is_left() {
    let own = records(&["own"]);
    let throttled =
        "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    let service = Service::start(&[(400, throttled), (200, NO_RECORDS), (200, CHANGED), (200, &own), (200, CHANGED)]);
    let mut set = KEY.to_vec();
    set.extend([("AWS_HOSTED_ZONE_ID", "/hostedzone/Z9"), ("AWS_WAIT_FOR_RECORD_SETS_CHANGED", "false")]);
    present_and_clean_up(&provider(&set, &service)).await.unwrap();
    let requests = service.requests();
    assert_eq!(requests[2].line, "POST /2013-04-01/hostedzone/Z9/rrset/");
    assert_eq!(requests[2].header("Content-Type"), "application/xml");
    assert_eq!(requests[2].body, change("UPSERT", 10, &["own"]));
    assert_eq!(requests[4].body, change("DELETE", 77, &["own"]));
    requests.iter().for_each(|request| assert_signed(request, &service, None));
}

#[tokio::test]
async fn route53_error_has_the_code_and_the_message() {
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>User: x is not authorized</Message></Error></ErrorResponse>";
    let service = Service::start(&[(403, denied)]);
    let mut set = KEY.to_vec();
    set.push(("AWS_HOSTED_ZONE_ID", "Z9"));
    let message = present_and_clean_up(&provider(&set, &service)).await.unwrap_err().0;
    assert!(message.contains("403: AccessDenied: User: x is not authorized"), "{message}");
}

#[tokio::test]
async fn route53_uses_the_role_of_the_machine() {
    let role = r#"{"Code":"Success","AccessKeyId":"AKID","SecretAccessKey":"secret","Token":"session"}"#;
    let service =
        Service::start(&[(200, "metadata-token"), (200, "my-role\n"), (200, role), (200, NO_RECORDS), (500, "")]);
    let set = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "BASE"),
        ("AWS_ENDPOINT_URL_ROUTE_53", "BASE"),
        ("AWS_HOSTED_ZONE_ID", "Z9"),
        ("AWS_WAIT_FOR_RECORD_SETS_CHANGED", "0"),
    ];
    assert!(present_and_clean_up(&provider(&set, &service)).await.is_err());
    let requests = service.requests();
    assert_eq!(requests[0].line, "PUT /latest/api/token");
    assert_eq!(requests[0].header("X-aws-ec2-metadata-token-ttl-seconds"), "300");
    assert_eq!(requests[2].line, "GET /latest/meta-data/iam/security-credentials/my-role");
    assert_eq!(requests[2].header("X-aws-ec2-metadata-token"), "metadata-token");
    assert_signed(&requests[3], &service, Some("session"));
}

#[tokio::test]
async fn route53_uses_the_role_of_the_container() {
    let role = r#"{"AccessKeyId":"AKID","SecretAccessKey":"secret","Token":"session"}"#;
    let service = Service::start(&[(200, role), (200, NO_RECORDS), (500, "")]);
    let set = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "BASE/creds"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container"),
        ("AWS_ENDPOINT_URL_ROUTE_53", "BASE"),
        ("AWS_HOSTED_ZONE_ID", "Z9"),
    ];
    assert!(present_and_clean_up(&provider(&set, &service)).await.is_err());
    let requests = service.requests();
    assert_eq!((requests[0].line.as_str(), requests[0].header("Authorization")), ("GET /creds", "container"));
    assert_signed(&requests[1], &service, Some("session"));
}
