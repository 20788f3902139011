//! The settings of a store, from its table of the static configuration (docs/reference/key-value-stores.md#options).

use crate::config::dynamic::ClientTls;
use crate::config::static_config::{StaticConfig, StoreTable};

use super::consul::Consul;
use super::dial::Endpoints;
use super::etcd::Etcd;
use super::redis::Redis;
use super::store::{Store, StoreError};
use super::zookeeper::ZooKeeper;

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Etcd,
    ZooKeeper,
    Consul,
    Redis,
}

/// The settings of one store.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub kind: StoreKind,
    /// The name of the provider in the API and in the log. That of etcd depends on `useAPIV3`, as in Traefik.
    pub provider: &'static str,
    pub endpoint: String,
    pub prefix: String,
    /// Whether changes are followed.
    pub watch: bool,
    pub constraints: Vec<String>,
    username: String,
    password: String,
    tls: Option<ClientTls>,
    db: i64,
    /// `CONSUL_HTTP_TOKEN`
    token: Option<String>,
}

impl StoreSettings {
    /// The settings of all stores of a configuration. `token` is the value of `CONSUL_HTTP_TOKEN`. The first one holds the static
    /// configuration, in Traefik's order.
    pub fn all(config: &StaticConfig, token: Option<&str>) -> Vec<StoreSettings> {
        let etcd_name = if config.etcd.as_ref().is_some_and(|etcd| etcd.use_api_v3) { "etcdv3" } else { "etcd" };
        let tables: [(StoreKind, &'static str, Option<&dyn StoreTable>); 4] = [
            (StoreKind::Consul, "consul", config.consul.as_ref().map(|table| table as &dyn StoreTable)),
            (StoreKind::Etcd, etcd_name, config.etcd.as_ref().map(|table| table as &dyn StoreTable)),
            (StoreKind::ZooKeeper, "zk", config.zookeeper.as_ref().map(|table| table as &dyn StoreTable)),
            (StoreKind::Redis, "redis", config.redis.as_ref().map(|table| table as &dyn StoreTable)),
        ];
        let settings = |(kind, provider, table): (StoreKind, &'static str, Option<&dyn StoreTable>)| {
            let options = table?.options();
            Some(StoreSettings {
                kind,
                provider,
                endpoint: options.endpoint.to_owned(),
                prefix: options.prefix.to_owned(),
                watch: options.watch,
                constraints: options.constraints.iter().chain(&config.constraints).cloned().collect(),
                username: options.username.to_owned(),
                password: options.password.to_owned(),
                tls: options.tls.cloned(),
                db: options.db,
                token: token.map(str::to_owned),
            })
        };
        tables.into_iter().filter_map(settings).collect()
    }

    /// Reads endpoints and TLS settings, without connecting.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub fn endpoints(&self) -> Result<Endpoints, String> {
        let (ca_option, alpn): (_, &[&str]) = match self.kind {
            StoreKind::Etcd => ("etcd.tls.ca", &["h2"]),
            StoreKind::ZooKeeper => ("zookeeper.tls.ca", &[]),
            StoreKind::Consul => ("consul.tls.ca", &["http/1.1"]),
            StoreKind::Redis => ("redis.tls.ca", &[]),
        };
        let endpoints = Endpoints::new(ca_option, &self.endpoint, self.tls.as_ref(), alpn)?;
        if self.kind == StoreKind::ZooKeeper && endpoints.has_tls() {
            return Err(
                "zookeeper.tls has no effect: connections to ZooKeeper are made without TLS, as in Traefik: remove it"
                    .to_owned(),
            );
        }
        Ok(endpoints)
    }

    /// Connects to the store.
    pub async fn connect(&self) -> Result<Box<dyn Store>, StoreError> {
        let endpoints = self.endpoints().map_err(StoreError)?;
        let (username, password) = (self.username.as_str(), self.password.as_str());
        Ok(match self.kind {
            StoreKind::Etcd => Box::new(Etcd::connect(endpoints, username, password).await?),
            StoreKind::ZooKeeper => Box::new(ZooKeeper::connect(&endpoints.list(), username, password).await?),
            StoreKind::Consul => Box::new(Consul::new(endpoints, self.token.clone(), username, password)),
            StoreKind::Redis => Box::new(Redis::connect(endpoints, username, password, self.db).await?),
        })
    }
}
