//! Options of the key-value stores as written (docs/reference/key-value-stores.md#options).

use serde::{Deserialize, Serialize};

use crate::config::dynamic::ClientTls;

/// The options that all stores have, whatever their table.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions<'t> {
    pub endpoint: &'t str,
    pub prefix: &'t str,
    pub watch: bool,
    pub username: &'t str,
    pub password: &'t str,
    pub tls: Option<&'t ClientTls>,
    pub constraints: &'t [String],
    /// A Go template in place of the built-in one: a fatal error, because Ringway runs no templates.
    pub filename: &'t str,
    /// Of Redis; 0 elsewhere.
    pub db: i64,
}

/// The table of a store.
pub trait StoreTable {
    /// The table's name in the file.
    fn name(&self) -> &'static str;

    fn options(&self) -> StoreOptions<'_>;
}

/// Declares the table of a store: its type, name and defaults, and the options that only this store has.
macro_rules! store_table {
    ($(#[$meta:meta])* $type:ident, $name:literal, $endpoint:literal, $prefix:literal, { $($(#[$option:meta])* $field:ident: $form:ty,)* }, $db:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $type {
            /// `host:port`, several separated by commas.
            pub endpoint: String,
            pub prefix: String,
            pub watch: bool,
            pub username: String,
            #[serde(skip_serializing)]
            pub password: String,
            pub tls: Option<ClientTls>,
            pub constraints: Vec<String>,
            pub filename: String,
            pub trace: bool,
            pub template_version: i64,
            pub debug_log_generated_template: bool,
            $($(#[$option])* pub $field: $form,)*
        }

        impl Default for $type {
            fn default() -> Self {
                $type {
                    endpoint: $endpoint.to_owned(),
                    prefix: $prefix.to_owned(),
                    watch: true,
                    username: String::new(),
                    password: String::new(),
                    tls: None,
                    constraints: Vec::new(),
                    filename: String::new(),
                    trace: false,
                    template_version: 0,
                    debug_log_generated_template: false,
                    $($field: <$form>::default(),)*
                }
            }
        }

        impl StoreTable for $type {
            fn name(&self) -> &'static str {
                $name
            }

            fn options(&self) -> StoreOptions<'_> {
                let db: fn(&$type) -> i64 = $db;
                StoreOptions {
                    endpoint: &self.endpoint,
                    prefix: &self.prefix,
                    watch: self.watch,
                    username: &self.username,
                    password: &self.password,
                    tls: self.tls.as_ref(),
                    constraints: &self.constraints,
                    filename: &self.filename,
                    db: db(self),
                }
            }
        }
    };
}

store_table!(
    /// The table `[etcd]`.
    Etcd, "etcd", "127.0.0.1:2379", "/traefik", {
        /// The API v3 is used either way; without this option a warning says what becomes of keys of the API v2.
        #[serde(rename = "useAPIV3")]
        use_api_v3: bool,
    }, |_| 0
);
store_table!(
    /// The table `[zookeeper]`.
    ZooKeeper, "zookeeper", "127.0.0.1:2181", "traefik", {}, |_| 0
);
store_table!(
    /// The table `[consul]`.
    Consul, "consul", "127.0.0.1:8500", "traefik", {}, |_| 0
);
store_table!(
    /// The table `[redis]`, only in Ringway.
    Redis, "redis", "127.0.0.1:6379", "traefik", {
        /// The number of the database.
        db: i64,
    }, |table| table.db
);
