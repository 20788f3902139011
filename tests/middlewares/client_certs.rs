//! Client certificates in header fields (docs/reference/middlewares.md#client-certificate).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};
use ringway::middleware::Middleware;
use ringway::middleware::client_cert::{CertInfos, ClientCert, NameInfos};

use crate::support::*;

const ALL: NameInfos = NameInfos {
    domain_component: true,
    country: true,
    province: true,
    locality: true,
    organization: true,
    serial_number: true,
    common_name: true,
};

fn certificate() -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["a.test".into()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in [
        (DnType::CommonName, "client & co"),
        (DnType::OrganizationName, "Ringway"),
        (DnType::CountryName, "DE"),
        (DnType::CustomDnType(vec![0, 9, 2342, 19200300, 100, 1, 25]), "test"),
    ] {
        params.distinguished_name.push(kind, DnValue::Utf8String(value.into()));
    }
    params.subject_alt_names.push(SanType::URI("https://me".try_into().unwrap()));
    params.subject_alt_names.push(SanType::IpAddress("10.0.0.1".parse().unwrap()));
    params.subject_alt_names.push(SanType::Rfc822Name("me@a.test".try_into().unwrap()));
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn infos_list_the_selected_fields() {
    let der = certificate();
    let infos = CertInfos { not_after: true, not_before: true, sans: true, subject: Some(ALL), issuer: None };
    let step = ClientCert { pem: true, infos: Some(infos) };
    let (cert, infos) = step.values(&[&der, &der]);
    let pem = STANDARD.encode(&der).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert_eq!(cert.unwrap(), format!("{pem},{pem}"));
    let one = "Subject%3D%22DC%3Dtest%2CC%3DDE%2CO%3DRingway%2CCN%3Dclient+%26+co%22%2CNB%3D1577836800%2CNA%3D1893456000\
               %2CSAN%3Da.test%2Cme%40a.test%2C10.0.0.1%2Chttps%3A%2F%2Fme";
    assert_eq!(infos.unwrap(), format!("{one}%3B{one}"));
}

#[test]
fn client_certificate_headers_of_the_client_are_removed() {
    let lines = "GET / HTTP/1.1\nHost: h\nX-Forwarded-Tls-Client-Cert: fake\nX-Forwarded-Tls-Client-Cert-Infos: fake";
    let mut run = ChainRun::new(vec![Middleware::ClientCert(ClientCert { pem: true, infos: None })]);
    assert!(passes(&run.send(lines)));
    assert_eq!(run.field("x-forwarded-tls-client-cert"), None);
    run.certs = vec![certificate()];
    assert!(passes(&run.send(lines)));
    assert!(run.field("x-forwarded-tls-client-cert").unwrap().starts_with("MII"));
    assert_eq!(run.field("x-forwarded-tls-client-cert-infos"), None);
    run.certs = vec![b"no certificate".to_vec()];
    assert!(passes(&run.send(lines)));
}
