//! What a refusal left unread of the request's body: read and thrown away, so that the client gets to see the refusal
//! and can use its connection again. Closing a connection with unread bytes resets it, and the answer may be lost.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{sync::oneshot, time::timeout};

/// What is read at most. A client that sends more has its connection closed.
const BYTES: usize = 64 * 1024 * 1024;

/// For how long it is read at most: what was sent together with the head is there at once.
const TIME: Duration = Duration::from_secs(2);

/// Reads the rest of a refused request, or says that the connection ends.
pub async fn discard<F: Future<Output = Response>>(request: Request, next: impl FnOnce(Request) -> F) -> Response {
    // Who asks first whether to send the body is answered, and sends none.
    let asks_first = request.headers().contains_key(header::EXPECT);
    let (back, mut left) = oneshot::channel();
    let request = request.map(|body| Body::new(Borrowed { body: Some(body), back: Some(back) }));
    let mut response = next(request).await;
    let Ok(body) = left.try_recv() else { return response };
    // One that did not send its body in time is not waited for again.
    let comes = !asks_first && response.status() != StatusCode::REQUEST_TIMEOUT;
    let read = comes && read_away(body).await;
    if !read {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn read_away(mut body: Body) -> bool {
    let reading = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > BYTES {
                return false;
            }
        }
        true
    };
    timeout(TIME, reading).await.unwrap_or(false)
}

/// A body that is given back when it is dropped before its end.
struct Borrowed {
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Borrowed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            let _ = back.send(body);
        }
    }
}
