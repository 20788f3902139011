//! Reads backend options, which exist at container level only (docs/reference/labels.md#backend-labels).

use super::protocol::layer4;
use super::values::{InvalidLabel, Labels};
use crate::config::dynamic::{
    Backend, Buffering, CircuitBreaker, HealthCheck, LoadBalancer, MaxConn, ResponseForwarding, Stickiness,
};

/// Reads all backend options; the servers stay empty.
pub fn options(labels: &Labels) -> Result<Backend, InvalidLabel> {
    Ok(Backend {
        servers: Default::default(),
        circuit_breaker: circuit_breaker(labels)?,
        load_balancer: load_balancer(labels)?,
        max_conn: max_conn(labels)?,
        health_check: health_check(labels)?,
        buffering: buffering(labels)?,
        response_forwarding: response_forwarding(labels)?,
        proxy_protocol: labels.text("traefik.backend.proxyProtocol")?,
    })
}

/// Reads `traefik.backend.circuitbreaker.expression`.
pub fn circuit_breaker(labels: &Labels) -> Result<Option<CircuitBreaker>, InvalidLabel> {
    let expression = labels.text("traefik.backend.circuitbreaker.expression")?;
    Ok((!expression.is_empty()).then_some(CircuitBreaker { expression }))
}

/// Reads `traefik.backend.loadbalancer.*`; `None` if none of these labels is set.
pub fn load_balancer(labels: &Labels) -> Result<Option<LoadBalancer>, InvalidLabel> {
    if !labels.any("traefik.backend.loadbalancer") {
        return Ok(None);
    }
    let method = labels.text("traefik.backend.loadbalancer.method")?;
    let sticky = labels.flag("traefik.backend.loadbalancer.stickiness", false);
    Ok(Some(LoadBalancer {
        method: if method.is_empty() { "wrr".to_owned() } else { method },
        sticky: labels.flag("traefik.backend.loadbalancer.sticky", false),
        stickiness: if sticky { Some(stickiness(labels)?) } else { None },
    }))
}

fn stickiness(labels: &Labels) -> Result<Stickiness, InvalidLabel> {
    Ok(Stickiness {
        cookie_name: labels.text("traefik.backend.loadbalancer.stickiness.cookieName")?,
        secure: labels.flag("traefik.backend.loadbalancer.stickiness.secure", false),
        http_only: labels.flag("traefik.backend.loadbalancer.stickiness.httpOnly", false),
        same_site: labels.text("traefik.backend.loadbalancer.stickiness.sameSite")?,
    })
}

/// Reads `traefik.backend.maxconn.*`; `None` without an amount.
pub fn max_conn(labels: &Labels) -> Result<Option<MaxConn>, InvalidLabel> {
    let amount = labels.number("traefik.backend.maxconn.amount", i64::MIN);
    if amount == i64::MIN {
        return Ok(None);
    }
    let extractor = labels.text("traefik.backend.maxconn.extractorfunc")?;
    let extractor_func = if extractor.is_empty() { "request.host".to_owned() } else { extractor };
    Ok(Some(MaxConn { amount, extractor_func }))
}

/// Reads `traefik.backend.healthcheck.*`; `None` without a path, and for TCP and UDP, which need none, without any of these labels.
pub fn health_check(labels: &Labels) -> Result<Option<HealthCheck>, InvalidLabel> {
    let path = labels.text("traefik.backend.healthcheck.path")?;
    let is_wanted = match layer4(labels) {
        Some(_) => labels.any("traefik.backend.healthcheck."),
        None => !path.is_empty(),
    };
    if !is_wanted {
        return Ok(None);
    }
    Ok(Some(HealthCheck {
        scheme: labels.text("traefik.backend.healthcheck.scheme")?,
        path,
        port: labels.number("traefik.backend.healthcheck.port", 0),
        interval: labels.text("traefik.backend.healthcheck.interval")?,
        hostname: labels.text("traefik.backend.healthcheck.hostname")?,
        headers: labels.header_map("traefik.backend.healthcheck.headers")?,
    }))
}

/// Reads `traefik.backend.buffering.*`; `None` if none of these labels is set.
pub fn buffering(labels: &Labels) -> Result<Option<Buffering>, InvalidLabel> {
    if !labels.any("traefik.backend.buffering") {
        return Ok(None);
    }
    Ok(Some(Buffering {
        max_request_body_bytes: labels.number("traefik.backend.buffering.maxRequestBodyBytes", 0),
        mem_request_body_bytes: labels.number("traefik.backend.buffering.memRequestBodyBytes", 0),
        max_response_body_bytes: labels.number("traefik.backend.buffering.maxResponseBodyBytes", 0),
        mem_response_body_bytes: labels.number("traefik.backend.buffering.memResponseBodyBytes", 0),
        retry_expression: labels.text("traefik.backend.buffering.retryExpression")?,
    }))
}

fn response_forwarding(labels: &Labels) -> Result<Option<ResponseForwarding>, InvalidLabel> {
    let flush_interval = labels.text("traefik.backend.responseForwarding.flushInterval")?;
    Ok((!flush_interval.is_empty()).then_some(ResponseForwarding { flush_interval }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read<T>(pairs: &[(&str, &str)], f: impl Fn(&Labels) -> T) -> T {
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        f(&Labels::whole(&map))
    }

    #[test]
    fn no_option_labels_give_the_default_backend() {
        assert_eq!(read(&[("traefik.backend", "x")], options).unwrap(), Backend::default());
    }

    #[test]
    fn unreadable_amount_leaves_max_conn_unset() {
        assert_eq!(read(&[("traefik.backend.maxconn.amount", "many")], max_conn).unwrap(), None);
        let zero = read(&[("traefik.backend.maxconn.amount", "0")], max_conn).unwrap().unwrap();
        assert_eq!((zero.amount, zero.extractor_func.as_str()), (0, "request.host"));
    }

    #[test]
    fn cookie_options_need_the_stickiness_label() {
        let name = ("traefik.backend.loadbalancer.stickiness.cookieName", "c");
        assert_eq!(read(&[name], load_balancer).unwrap().unwrap().stickiness, None);
        let on = [name, ("traefik.backend.loadbalancer.stickiness", "1")];
        assert_eq!(read(&on, load_balancer).unwrap().unwrap().stickiness.unwrap().cookie_name, "c");
    }

    #[test]
    fn bad_escape_error_names_the_label() {
        let error = read(&[("traefik.backend.circuitbreaker.expression", "a\"b")], options).unwrap_err();
        assert_eq!(error.label, "traefik.backend.circuitbreaker.expression");
    }
}
