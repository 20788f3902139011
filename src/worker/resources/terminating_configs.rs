//! The TLS configurations of TCP routes whose TLS ends at this proxy.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::ServerConfig;

/// Configurations that are kept; routes with protocols of their own are rare.
const CONFIGS_MAX: usize = 64;

/// An entry point and the protocols of a route.
type Key = (usize, Vec<Vec<u8>>);

/// The TLS configurations of TCP routes: those of the entry points, but with the protocols of the route (RFC 7301). Without any, the server
/// side accepts whatever the client offers and agrees on none of it.
#[derive(Default)]
pub struct TerminatingConfigs(RefCell<HashMap<Key, Arc<ServerConfig>>>);

impl TerminatingConfigs {
    /// The configuration of a route with the protocols `alpn`; `of_entry_point` is that of its entry point.
    pub fn get(&self, entry: usize, alpn: &[Vec<u8>], of_entry_point: &ServerConfig) -> Arc<ServerConfig> {
        let mut configs = self.0.borrow_mut();
        let key = (entry, alpn.to_vec());
        if let Some(config) = configs.get(&key) {
            return Arc::clone(config);
        }
        let mut config = of_entry_point.clone();
        config.alpn_protocols = alpn.to_vec();
        let config = Arc::new(config);
        // Routes come and go with configurations.
        if configs.len() >= CONFIGS_MAX {
            configs.clear();
        }
        configs.insert(key, Arc::clone(&config));
        config
    }
}
