//! The fixed order, and the request and response paths (docs/reference/middlewares.md#order).

use std::sync::Arc;

use ringway::middleware::basic_auth::{AuthEdits, BasicAuth};
use ringway::middleware::credentials::CredentialCache;
use ringway::middleware::error_pages::{ErrorPage, ErrorPages};
use ringway::middleware::redirect::Redirect;
use ringway::middleware::white_list::WhiteList;
use ringway::middleware::{ChainProgress, ChainScope, Middleware};

use crate::support::*;

fn white_list() -> WhiteList {
    WhiteList::new(&strings(&["10.0.0.0/8"]), false, ChainScope::Frontend("f")).unwrap()
}

fn basic() -> BasicAuth {
    let memory = Arc::new(CredentialCache::new([0; 32]));
    let label = ChainScope::Frontend("f").label("Auth");
    BasicAuth::new(&[], None, AuthEdits::default(), memory, label).unwrap()
}

fn redirect() -> Redirect {
    Redirect::entry_point(443, true, false, ChainScope::EntryPoint("http"))
}

fn stopped_by(progress: ChainProgress) -> (u16, usize) {
    let ChainProgress::Reply { reply, at, .. } = progress else { panic!("{progress:?}") };
    (reply.status, at)
}

#[test]
fn middlewares_run_in_the_fixed_order() {
    let pages = || ErrorPages::new(vec![ErrorPage::new(&strings(&["403"]), "e", "/").unwrap()]);
    let mut run = ChainRun::new(vec![
        Middleware::Basic(basic()),
        Middleware::Redirect(redirect()),
        Middleware::WhiteList(white_list()),
        Middleware::ErrorPages(pages()),
    ]);
    assert_eq!(stopped_by(run.get("h", "/")), (403, 1), "a frontend's white list comes first");
    run.peer = "10.0.0.1".parse().unwrap();
    assert_eq!(stopped_by(run.get("h", "/")), (302, 2));
    let mut run = ChainRun::new(vec![Middleware::EntryWhiteList(white_list()), Middleware::Basic(basic())]);
    assert_eq!(stopped_by(run.get("h", "/")), (401, 0), "an entry point's comes last");
}

#[test]
fn only_outer_middlewares_see_a_local_reply() {
    let page = |status: &str| ErrorPages::new(vec![ErrorPage::new(&strings(&[status]), "e", "/{status}").unwrap()]);
    let mut run = ChainRun::new(vec![Middleware::WhiteList(white_list()), Middleware::ErrorPages(page("403"))]);
    let ChainProgress::Reply { mut reply, at, .. } = run.get("h", "/") else { panic!("refused") };
    assert_eq!(run.respond_local(&mut reply).map(|page| page.status), Some(403));
    assert_eq!(at, 1);
    assert_eq!(run.respond("HTTP/1.1 200 OK\nContent-Length: 0").1, None);
}

#[test]
fn unsolicited_results_do_not_admit_a_request() {
    let mut run = ChainRun::new(vec![Middleware::WhiteList(white_list())]);
    run.get("h", "/");
    assert_eq!(stopped_by(run.answer_auth_request(0, None)).0, 500);
    assert_eq!(stopped_by(run.answer_auth_request(7, None)).0, 500);
}
