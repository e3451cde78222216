//! `/metrics`, `/health/live` and `/health/ready` on `ottla.http.listener`. Knows nothing of
//! Kafka's protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    pub metrics: PrometheusHandle,
    /// True from the ready line until the stop begins.
    pub ready: Arc<AtomicBool>,
    /// Brings gauges up to date before they are shown, and gives the part of the page that is
    /// written anew for every look.
    pub sample: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
}

/// Serves until the token is cancelled. A port in use is the caller's to warn about.
pub async fn serve(listener: TcpListener, pages: Pages, stopping: CancellationToken) {
    let router = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready_page))
        .with_state(pages);
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    if let Err(error) = served.await {
        tracing::warn!(%error, "the HTTP listener ended");
    }
}

/// Binds `address`, an IP address and a port.
pub async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let address: SocketAddr = address
        .parse()
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidInput, "not address:port"))?;
    TcpListener::bind(address).await
}

async fn metrics_page(State(pages): State<Pages>) -> impl IntoResponse {
    let fresh = (pages.sample)().await;
    pages.metrics.run_upkeep();
    let page = pages.metrics.render() + &fresh;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}

async fn ready_page(State(pages): State<Pages>) -> impl IntoResponse {
    if pages.ready.load(Ordering::Acquire) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
