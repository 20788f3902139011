//! Finds options of key-value stores that cannot work (docs/reference/key-value-stores.md#options).

use super::StaticConfig;
use super::check_constraints::check_constraints;
use super::problem::Problem;
use super::stores::StoreTable;
use crate::diagnostics::Code;

/// Checks the tables of all stores.
pub(super) fn check_stores(config: &StaticConfig, problems: &mut Vec<Problem>) {
    let tables: [Option<&dyn StoreTable>; 4] = [
        config.consul.as_ref().map(|table| table as &dyn StoreTable),
        config.etcd.as_ref().map(|table| table as &dyn StoreTable),
        config.zookeeper.as_ref().map(|table| table as &dyn StoreTable),
        config.redis.as_ref().map(|table| table as &dyn StoreTable),
    ];
    for table in tables.into_iter().flatten() {
        let (name, options) = (table.name(), table.options());
        check_constraints(&format!("{name}.constraints"), options.constraints, problems);
        if !options.filename.is_empty() {
            let message = format!(
                "{:?} is a Go template, which Ringway does not run: remove the key to have the keys read as by Traefik's own template",
                options.filename
            );
            problems.push(Problem::fatal(Code::CustomTemplate, format!("{name}.filename"), message));
        }
    }
    if config.etcd.as_ref().is_some_and(|etcd| !etcd.use_api_v3) {
        let message = "is not set, and Ringway uses the API v3 either way. Keys that were written through the API v2 are \
                       not seen there: move them once, with `etcdctl migrate` of etcd 3.4 (ETCDCTL_API=3, on the stopped member's data) or \
                       by writing them again with ETCDCTL_API=3; then set useAPIV3 = true";
        problems.push(Problem::warning(Code::StoreApi, "etcd.useAPIV3", message));
    }
}
