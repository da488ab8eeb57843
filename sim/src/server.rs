//! The thin shell: sockets and clocks around [`crate::engine_core`].

use std::{io, net::SocketAddr, sync::Arc, thread};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::{net::TcpListener, runtime, sync::watch};

use crate::Options;

// Every connection and request.
mod front;
mod gate;
// Inference: the request, and the answer.
mod body;
mod completions;
mod glance;
mod inspect;
mod prompt;

mod answer;
mod error;
mod sse;
// Everything else that is asked.
mod admin;
mod orca;
mod page;
mod status;
// The state behind it.
mod desk;
pub(crate) mod fault;
mod kept;
mod shared;
mod traffic;

use fault::Fault;
use gate::Gate;
use shared::Shared;

/// A running server with a thread and a runtime of its own; dropping it stops it and closes its
/// connections.
#[derive(Debug)]
pub struct Server {
    /// Address on which it listens.
    pub addr: SocketAddr,
    /// Address on which it listens for `/admin` alone, if that was asked for.
    pub admin: Option<SocketAddr>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    /// Binds, starts and accepts: connections made after this returns are served.
    ///
    /// # Errors
    /// Options out of bounds (`InvalidInput`, with the reason), an address that can't be bound, or
    /// a thread that can't be started.
    pub fn start(options: Options) -> io::Result<Self> {
        let invalid = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let engine = options.engine().map_err(invalid)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let bind = |port| runtime.block_on(TcpListener::bind((options.host, port)));
        let listener = bind(options.port)?;
        let admin_listener = options.admin_port.map(bind).transpose()?;
        let addr = listener.local_addr()?;
        let admin = admin_listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Shared::new(options, engine, stop.clone()));
        let serving = serve(Arc::clone(&shared), listener, admin_listener, stopped);
        let thread = thread::Builder::new()
            .name("vllm-sim".to_owned())
            .spawn(move || runtime.block_on(serving))?;
        Ok(Self { addr, admin, shared, stop, thread: Some(thread) })
    }

    /// Makes the server fail in some way, as `POST /admin/fault` does.
    pub fn fault(&self, fault: Fault) {
        self.shared.set_fault(fault);
    }

    /// Returns the body of `GET /admin/state`.
    #[must_use]
    pub fn state(&self) -> serde_json::Value {
        admin::state_json(&self.shared)
    }

    /// Blocks until the server ends by itself: the last act of the fault `health503`.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed already, and ends this server as well.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    admin: Option<TcpListener>,
    mut stopped: watch::Receiver<bool>,
) {
    let clock = tokio::spawn(Arc::clone(&shared).run_steps());
    let healer = tokio::spawn(Arc::clone(&shared).run_healer());
    if let Some(listener) = admin {
        let routes = admin_routes().with_state(Arc::clone(&shared));
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }
    let gate = Gate::new(listener, shared.faults(), shared.resets());
    let service = routes(&shared).into_make_service_with_connect_info::<gate::Peer>();
    tokio::select! {
        _ = axum::serve(gate, service) => {}
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    clock.abort();
    healer.abort();
}

fn admin_routes() -> Router<Arc<Shared>> {
    Router::new().route("/admin/state", get(admin::state)).route("/admin/fault", post(admin::fault))
}

fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/completions", post(completions::completions))
        .route("/v1/chat/completions", post(completions::chat))
        .route("/v1/messages", post(completions::messages))
        .route("/v1/responses", post(completions::responses))
        .route("/v1/responses/{name}", get(status::response))
        .route("/v1/responses/{name}/cancel", post(status::response))
        .route("/v1/messages/count_tokens", post(inspect::count_tokens))
        .route("/tokenize", post(inspect::tokenize))
        .route("/detokenize", post(inspect::detokenize))
        .route("/v1/embeddings", post(inspect::embeddings))
        .route("/rerank", post(inspect::rerank))
        .route("/v1/rerank", post(inspect::rerank))
        .route("/v2/rerank", post(inspect::rerank))
        .route("/v1/models", get(status::models))
        .route("/health", get(status::health))
        .route("/ping", get(status::health).post(status::health))
        .route("/version", get(status::version))
        .route("/load", get(status::load))
        .route("/metrics", get(page::metrics))
        .route("/metrics/", get(page::selected))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(shared), front::front))
        .merge(admin_routes())
        .with_state(Arc::clone(shared))
}
