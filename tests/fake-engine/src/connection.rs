//! One connection's life: hyper reads each request; everything that is sent is written by hand, so that it can be
//! late, broken or cut, and so that an open stream costs its socket and little else.

use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::engine::Shared;
use crate::load::TraceHeaders;
use crate::reply::{Call, Reply, Whole};
use crate::script::Dialect;
use crate::socket::Socket;
use crate::{generation, llama_cpp, vllm};

/// The largest request body that is read.
const MAX_BODY: usize = 64 << 20;

/// What becomes of a connection after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Request,
    Close,
}

/// Answers requests until the client or a fault ends the connection.
pub(crate) async fn serve(mut socket: Socket, shared: Arc<Shared>) {
    while let Some(call) = Box::pin(read(&mut socket)).await {
        match answer(call, &socket, &shared).await {
            Ok(Next::Request) if !socket.is_spoiled() => {}
            _ => return,
        }
    }
}

async fn answer(call: Option<Call>, socket: &Socket, shared: &Arc<Shared>) -> io::Result<Next> {
    let Some(call) = call else {
        send(socket, &Whole::empty(StatusCode::PAYLOAD_TOO_LARGE), false).await?;
        return Ok(Next::Close);
    };
    let persistent = call.persistent;
    let script = shared.script();
    if matches!(call.path.as_str(), "/tokenize" | "/detokenize") {
        tokio::time::sleep(script.tokenizer_delay).await;
    }
    let reply = match script.dialect {
        Dialect::Vllm(front_end) => vllm::route(&call, &script, front_end, shared),
        Dialect::LlamaCpp => llama_cpp::route(&call, &script, shared),
    };
    if let Reply::Work(_) = reply {
        shared.recorded().push_trace(call.trace.clone(), script.record);
    }
    drop(call);
    match reply {
        Reply::Ready(whole) => {
            // llama.cpp closes the connection after an error.
            let persistent = persistent && (whole.status.is_success() || script.dialect != Dialect::LlamaCpp);
            send(socket, &whole, persistent).await?;
            Ok(if persistent { Next::Request } else { Next::Close })
        }
        Reply::Work(work) => {
            let max_queued = script.max_queued;
            drop(script);
            Box::pin(generation::perform(work, socket, shared, max_queued, persistent)).await
        }
    }
}

/// Sends a response that is not streamed.
pub(crate) async fn send(socket: &Socket, whole: &Whole, persistent: bool) -> io::Result<()> {
    let mut bytes = head(whole.status, whole.content_type, persistent);
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", whole.body.len()).as_bytes());
    bytes.extend_from_slice(&whole.body);
    socket.send(&bytes).await
}

/// A status line and the headers that every response has, without the empty line at the end.
pub(crate) fn head(status: StatusCode, content_type: &str, persistent: bool) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let close = if persistent { "" } else { "connection: close\r\n" };
    format!("HTTP/1.1 {} {reason}\r\nserver: fake-engine\r\ncontent-type: {content_type}\r\n{close}", status.as_u16())
        .into_bytes()
}

/// Reads one request; `None` when the client is gone, `Some(None)` when its body is too large.
///
/// hyper is stopped as soon as it has handed the request over, and its buffers go with it.
async fn read(socket: &mut Socket) -> Option<Option<Call>> {
    let slot: Mutex<Option<Option<Call>>> = Mutex::new(None);
    let service = service_fn(|request: http::Request<Incoming>| async {
        let call = collect(request).await;
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        pending::<Result<http::Response<Empty<Bytes>>, std::convert::Infallible>>().await
    });
    let mut connection =
        http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(&mut *socket), service);
    let call = poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx).is_ready();
        match slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
            _ if ended => Poll::Ready(None),
            Some(call) => Poll::Ready(Some(call)),
            None => Poll::Pending,
        }
    })
    .await;
    let pipelined = call.is_some() && !connection.into_parts().read_buf.is_empty();
    if pipelined {
        socket.spoil();
    }
    call
}

async fn collect(request: http::Request<Incoming>) -> Option<Call> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let persistent = parts.version >= http::Version::HTTP_11
        && !header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let request_id = header("x-request-id").map(str::to_owned);
    let trace = header("traceparent").map(|traceparent| TraceHeaders {
        traceparent: traceparent.to_owned(),
        tracestate: header("tracestate").map(str::to_owned),
    });
    let body = Limited::new(body, MAX_BODY).collect().await.ok()?.to_bytes();
    Some(Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        request_id,
        trace,
        persistent,
        body,
    })
}
