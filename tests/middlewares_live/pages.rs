//! Error pages: the responses that they replace, the requests that fetch them, and the client's response.

use crate::support::*;

/// A server that responds to `/404` with 404, and to all other paths with 200.
fn site() -> Origin {
    Origin::start(|seen| {
        let status = seen.path().trim_start_matches('/').parse().unwrap_or(200);
        response(status, &["X-Site: yes", "Set-Cookie: s=1"], "the site's own words")
    })
}

fn page_server() -> Origin {
    Origin::start(|_| response(299, &["X-Page: yes", "Content-Type: text/html"], "<h1>sorry</h1>"))
}

fn errors(status: &str, backend: &str, query: &str) -> String {
    format!("[F.errors.a]\nstatus=[{status}]\nbackend={backend:?}\nquery={query:?}")
}

#[test]
fn error_page_keeps_the_original_status() {
    for driver in DRIVERS {
        let (site, pages) = (site(), page_server());
        let caught = errors("\"500-502\",\"404\"", "errb", "{status}.html?code={status}");
        let rules = Rules::default()
            .add("errb", &[pages.url()], "passHostHeader=true", "")
            .add("err", &[site.url()], &caught, "")
            .add("dead", &[dead_url()], &caught, "")
            .add(
                "closed",
                &[site.url()],
                &format!("[F.whiteList]\nsourceRange=[\"10.0.0.0/8\"]\n{}", errors("\"403\"", "errb", "/wl")),
                "",
            );
        let proxy = Proxy::start(driver, "", rules.text());
        let fields = ["X-Mine: 1", "Keep-Alive: 1", "X-Real-Ip: 9.9.9.9", "If-None-Match: *", "Range: bytes=0-1"];
        let page = proxy.send("POST", "err", "/404", &fields, b"hello");
        assert_eq!(page.status_and_text(), (404, "<h1>sorry</h1>".to_owned()));
        assert_eq!((page.first("X-Page"), page.first("X-Site"), page.first("Set-Cookie")), (Some("yes"), None, None));
        assert_eq!(page.first("Content-Type"), Some("text/html"));
        let seen = pages.last();
        assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.body.len()), ("GET", "/404.html?code=404", 0));
        assert_eq!((seen.first("Host"), seen.first("X-Forwarded-Host")), (Some("0.0.0.0"), Some("0.0.0.0")));
        assert_eq!((seen.first("X-Forwarded-Port"), seen.first("X-Forwarded-Proto")), (Some("80"), Some("http")));
        assert_eq!(
            (seen.first("X-Forwarded-For"), seen.first("Keep-Alive"), seen.first("Content-Length")),
            (None, None, None)
        );
        assert_eq!(
            (seen.first("If-None-Match"), seen.first("Range")),
            (None, None),
            "they concern the site's resource"
        );
        assert_eq!(site.last().first("Range"), Some("bytes=0-1"));
        assert_eq!((seen.first("X-Mine"), seen.first("X-Real-Ip")), (Some("1"), Some("9.9.9.9")), "trusted by default");
        assert_eq!(proxy.get("err", "/503").text(), "the site's own words");
        assert_eq!(proxy.get("dead", "/").status_and_text(), (502, "<h1>sorry</h1>".to_owned()));
        assert_eq!(pages.last().target, "/502.html?code=502");
        assert_eq!(proxy.get("closed", "/").status_and_text(), (403, "<h1>sorry</h1>".to_owned()));
        let head = proxy.send("HEAD", "err", "/404", &[], b"");
        assert_eq!((head.status, head.first("Content-Length")), (404, Some("14")));
    }
}

#[test]
fn connection_stays_usable_after_an_error_page() {
    use std::io::{BufRead, BufReader, Read, Write};
    for driver in DRIVERS {
        let (site, pages) = (site(), page_server());
        let rules = Rules::default().add("errb", &[pages.url()], "", "").add(
            "err",
            &[site.url()],
            &errors("\"404\"", "errb", "/p"),
            "",
        );
        let proxy = Proxy::start(driver, "", rules.text());
        let mut reader = BufReader::new(proxy.connect());
        for (target, status) in [("/404", "404"), ("/", "200"), ("/404", "404"), ("/", "200")] {
            let head = format!("POST {target} HTTP/1.1\r\nHost: err\r\nContent-Length: 3\r\n\r\nabc");
            reader.get_mut().write_all(head.as_bytes()).unwrap();
            let mut lines = String::new();
            while !lines.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut lines).unwrap() > 0, "{target}: the connection ended: {lines}");
            }
            assert!(lines.contains(&format!(" {status} ")), "{lines}");
            let length: usize =
                lines.lines().find_map(|l| l.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
            reader.read_exact(&mut vec![0; length]).unwrap();
        }
        assert_eq!(pages.last().first("Host"), Some(pages.address.to_string().as_str()), "passHostHeader is off");
    }
}

#[test]
fn unavailable_error_pages_are_handled() {
    let (site, pages) = (site(), page_server());
    let unrouted =
        format!("[backends.lone.servers.error]\nurl={0:?}\n[backends.lost.servers.s]\nurl={0:?}\n", pages.url());
    let own = errors("\"404\"", "own", "/e");
    let busy = "[B.maxConn]\namount=-1\nextractorFunc=\"client.ip\"";
    let rules = Rules::default()
        .add("own", &[site.url()], &own, "")
        .add("unknown", &[site.url()], &errors("\"404\"", "nowhere", "/e"), "")
        .add("bad", &[site.url()], &errors("\"4xx\"", "busy", "/e"), "")
        .add("old", &[site.url()], &errors("\"404\"", "lone", "/e{status}"), "")
        .add("none", &[site.url()], &errors("\"404\"", "lost", "/e"), "")
        .add("busy", &[pages.url()], "", busy)
        .add("full", &[site.url()], &errors("\"404\"", "busy", "/e"), "")
        .add("gone", &[dead_url()], "", "")
        .add("dead", &[site.url()], &errors("\"404\"", "gone", "/e"), "");
    let proxy = Proxy::start("auto", "", &format!("{unrouted}{}", rules.text()));
    let own_words = (404, "the site's own words".to_owned());
    for host in ["own", "unknown", "bad"] {
        assert_eq!(proxy.get(host, "/404").status_and_text(), own_words, "{host}: the page is ignored");
        assert!(
            proxy.process.log().contains(&format!("frontend {host}: error page errors.a ignored: ")),
            "{host} is not explained"
        );
    }
    assert_eq!(proxy.get("old", "/404").status_and_text(), (404, "<h1>sorry</h1>".to_owned()));
    let seen = pages.last();
    let address = pages.address.to_string();
    assert_eq!(
        (seen.target.as_str(), seen.first("Host"), seen.first("X-Forwarded-Host")),
        ("/e404", Some(address.as_str()), Some(address.as_str()))
    );
    assert_eq!(proxy.get("none", "/404").status_and_text(), (500, "Internal Server Error".to_owned()));
    assert_eq!(proxy.get("full", "/404").status_and_text(), (404, "max connections reached: -1".to_owned()));
    assert_eq!(proxy.get("dead", "/404").status_and_text(), (404, "Bad Gateway".to_owned()));
}
