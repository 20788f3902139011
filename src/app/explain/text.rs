//! An explanation as text for a terminal.

use crate::cli::Style;
use crate::observe::explanation::{
    BackendFacts, CertificateFacts, ConditionFacts, Explanation, FieldChange, NearMiss, RouteFacts, ServerFacts, Step,
};

/// The column at which the text of each part begins.
const COLUMN: usize = 13;

/// Lines of labelled parts.
struct Page {
    text: String,
    style: Style,
}

/// The explanation as text. `now_secs` is the time, in seconds since 1970.
pub fn explanation(explanation: &Explanation, style: Style, now_secs: u64) -> String {
    let mut page = Page { text: String::new(), style };
    page.question(explanation);
    page.outcome(explanation);
    if let Some(entry) = &explanation.entry_point {
        let tls = if entry.tls { ", TLS" } else { "" };
        page.part("entry point", &format!("{} ({}{tls}): {}", entry.name, entry.address, entry.why));
        if entry.trusts_client {
            page.line("X-Forwarded-* fields of the client count");
        }
    }
    if let Some(certificate) = &explanation.certificate {
        page.part("certificate", &certificate_text(certificate, now_secs));
    }
    page.steps(&explanation.steps);
    if let Some(route) = &explanation.route {
        page.route(route);
    }
    if let Some(path) = explanation.path.as_ref().filter(|_| explanation.outcome.kind == "forwarded") {
        page.part(
            "path",
            &match path.received == path.forwarded {
                true => format!("{}, unchanged", path.received),
                false => format!("{} -> {}", path.received, path.forwarded),
            },
        );
    }
    page.changes("to server", &explanation.fields.request);
    page.changes("to client", &explanation.fields.response);
    if let Some(backend) = &explanation.backend {
        page.backend(backend);
    }
    page.near_misses(&explanation.near_misses);
    for (index, note) in explanation.notes.iter().enumerate() {
        page.part(if index == 0 { "notes" } else { "" }, note);
    }
    page.text
}

fn certificate_text(certificate: &CertificateFacts, now_secs: u64) -> String {
    let left = certificate.not_after_secs.saturating_sub(i64::try_from(now_secs).unwrap_or(i64::MAX));
    let left = if left < 0 { "expired".to_owned() } else { format!("{} days left", left / 86_400) };
    format!("{} ({left}): {}", certificate.names.join(", "), certificate.why)
}

fn change_text(change: &FieldChange) -> String {
    match change.change.as_str() {
        "removed" => format!("- {}", change.name),
        "added" => format!("+ {}: {}", change.name, change.value),
        _ => format!("= {}: {}", change.name, change.value),
    }
}

impl Page {
    /// A line with a label in front; the label may be empty.
    fn part(&mut self, label: &str, text: &str) {
        let padding = " ".repeat(COLUMN.saturating_sub(label.len()));
        let label = if label.is_empty() { String::new() } else { self.style.heading(label) };
        self.text.push_str(&format!("{label}{padding}{text}\n"));
    }

    fn line(&mut self, text: &str) {
        self.part("", text);
    }

    fn question(&mut self, explanation: &Explanation) {
        let request = &explanation.request;
        let method = if request.method.is_empty() { String::new() } else { format!("{} ", request.method) };
        let sni = request.sni.as_ref().map(|sni| format!(", server name {sni}")).unwrap_or_default();
        let url = self.style.literal(&request.url);
        self.text.push_str(&format!("{method}{url} from {}{sni}\n", request.from));
        for (name, value) in &request.headers {
            self.text.push_str(&format!("{name}: {value}\n"));
        }
        self.text.push('\n');
    }

    fn outcome(&mut self, explanation: &Explanation) {
        let outcome = &explanation.outcome;
        let status = outcome.status.map(|status| format!(" {status}")).unwrap_or_default();
        let server = outcome.server.as_ref().map(|server| format!(" to {server}")).unwrap_or_default();
        let location = outcome.location.as_ref().map(|location| format!(" -> {location}")).unwrap_or_default();
        let text = format!("{}{status}{server}{location}", outcome.kind);
        let is_good = matches!(outcome.kind.as_str(), "forwarded" | "connected")
            || outcome.status.is_some_and(|status| status < 400);
        let painted = if is_good || outcome.status.is_none() && outcome.kind == "answered" {
            self.style.good(&text)
        } else {
            self.style.error(&text)
        };
        self.part("outcome", &painted);
        self.line(&outcome.why);
    }

    fn steps(&mut self, steps: &[Step]) {
        let width = steps.iter().map(|step| step.middleware.len()).max().unwrap_or_default();
        let mut chain = "";
        for step in steps {
            let label = if step.chain == chain { "" } else { &step.chain };
            chain = &step.chain;
            let status = step.status.map(|status| format!(" {status}")).unwrap_or_default();
            let verdict = format!("{}{status}", step.verdict);
            let painted = if step.verdict == "passes" { verdict } else { self.style.error(&verdict) };
            let label = if label == "entry point" { "middlewares" } else { label };
            self.part(label, &format!("{:width$}  {painted}: {}", step.middleware, step.why));
            step.changes.iter().for_each(|change| self.line(&format!("    {}", change_text(change))));
        }
    }

    fn route(&mut self, route: &RouteFacts) {
        self.part("route", &format!("{} ({}): {}", route.frontend, route.provider, route.why));
        self.line(&format!("{} (priority {})", route.rules.join(" and "), route.priority));
        self.conditions(&route.conditions);
    }

    fn conditions(&mut self, conditions: &[ConditionFacts]) {
        for condition in conditions {
            match condition.met {
                true => self.line(&format!("  + {}", condition.text)),
                false => self.line(&format!("  - {}: {}", condition.text, condition.why)),
            }
        }
    }

    fn near_misses(&mut self, misses: &[NearMiss]) {
        for (index, miss) in misses.iter().enumerate() {
            let label = if index == 0 { "not taken" } else { "" };
            self.part(label, &format!("{} ({}) {}", miss.frontend, miss.provider, miss.rules.join(" and ")));
            self.line(&format!("  {}", miss.why));
        }
    }

    fn changes(&mut self, label: &str, changes: &[FieldChange]) {
        for (index, change) in changes.iter().enumerate() {
            self.part(if index == 0 { label } else { "" }, &change_text(change));
        }
    }

    fn backend(&mut self, backend: &BackendFacts) {
        let sticky = backend.stickiness.as_ref().map(|sticky| format!(", sticky by {sticky}")).unwrap_or_default();
        self.part("backend", &format!("{} ({}), {}{sticky}", backend.name, backend.provider, backend.method));
        let width = backend.servers.iter().map(|server| server.url.len()).max().unwrap_or_default();
        backend.servers.iter().for_each(|server| self.server(server, width));
    }

    fn server(&mut self, server: &ServerFacts, width: usize) {
        let mark = if server.picked { '>' } else { ' ' };
        let state = if server.state == "up" { server.state.clone() } else { self.style.error(&server.state) };
        let ServerFacts { name, url, weight, active, why, .. } = server;
        self.line(&format!("{mark} {url:width$}  {state}, weight {weight}, {active} active, {name}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::explanation::{AskedRequest, EntryPointFacts, Outcome, PathFacts};

    #[test]
    fn text_shows_each_part_on_lines_of_its_own() {
        let change = |change: &str, name: &str, value: &str| FieldChange {
            change: change.into(),
            name: name.into(),
            value: value.into(),
        };
        let shown = Explanation {
            request: AskedRequest {
                url: "https://h/a".into(),
                method: "GET".into(),
                from: "::1".into(),
                sni: Some("h".into()),
                ..Default::default()
            },
            outcome: Outcome {
                kind: "forwarded".into(),
                server: Some("http://s".into()),
                why: "because".into(),
                ..Default::default()
            },
            entry_point: Some(EntryPointFacts {
                name: "https".into(),
                address: "0.0.0.0:443".into(),
                tls: true,
                why: "port".into(),
                ..Default::default()
            }),
            certificate: Some(CertificateFacts {
                names: vec!["h".into()],
                not_after_secs: 86_400 * 3,
                why: "it covers h".into(),
                ..Default::default()
            }),
            steps: vec![Step {
                chain: "entry point".into(),
                middleware: "redirect".into(),
                verdict: "passes".into(),
                why: "no match".into(),
                ..Default::default()
            }],
            path: Some(PathFacts { received: "/a".into(), forwarded: "/".into() }),
            near_misses: vec![NearMiss {
                frontend: "f".into(),
                provider: "file".into(),
                rules: vec!["Host:x".into()],
                why: "the host is h".into(),
                ..Default::default()
            }],
            notes: vec!["first".into(), "second".into()],
            ..Default::default()
        };
        let mut shown = shown;
        shown.fields.request =
            vec![change("added", "X-A", "1"), change("removed", "X-B", ""), change("replaced", "X-C", "2")];
        let text = explanation(&shown, Style::PLAIN, 86_400);
        let expected = "\
GET https://h/a from ::1, server name h

outcome      forwarded to http://s
             because
entry point  https (0.0.0.0:443, TLS): port
certificate  h (2 days left): it covers h
middlewares  redirect  passes: no match
path         /a -> /
to server    + X-A: 1
             - X-B
             = X-C: 2
not taken    f (file) Host:x
               the host is h
notes        first
             second
";
        assert_eq!(text, expected);
    }
}
