//! A client of the API: knows an address and a key.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::connection::{Answer, Connection};
use crate::events::Events;

/// Asks one edge. Every request has a connection of its own unless it is given one.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub key: String,
}

impl Client {
    /// Asks with GET.
    ///
    /// # Panics
    /// When no whole answer comes.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(&self.request("GET", path, &[], b""))
    }

    /// Asks with POST and waits for the whole answer.
    ///
    /// # Panics
    /// When no whole answer comes.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(&self.posting(path, body))
    }

    /// Asks with POST for a stream of events.
    ///
    /// # Panics
    /// When no stream comes.
    pub fn stream(&self, path: &str, body: &Value) -> Events {
        let reading = self.send(path, body).reading().expect("the server answers");
        assert_eq!(reading.head.status, 200, "no stream: {:?}", reading.head);
        Events::of(reading)
    }

    /// Asks with POST and reads nothing.
    ///
    /// # Panics
    /// When the server takes no request.
    pub fn send(&self, path: &str, body: &Value) -> Connection {
        let mut connection = self.connect();
        connection.send(&self.posting(path, body)).expect("the server reads");
        connection
    }

    /// Sends bytes as they are and waits for the whole answer.
    ///
    /// # Panics
    /// When no whole answer comes.
    pub fn ask(&self, bytes: &[u8]) -> Answer {
        let mut connection = self.connect();
        connection.send(bytes).and_then(|()| connection.answer()).expect("the server answers")
    }

    /// A new connection.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(&self) -> Connection {
        self.try_connect().expect("the server listens")
    }

    /// A new connection.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn try_connect(&self) -> io::Result<Connection> {
        Connection::open(self.address)
    }

    /// The bytes of a POST with a JSON body.
    pub fn posting(&self, path: &str, body: &Value) -> Vec<u8> {
        self.request("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// The bytes of a request. The client's key comes with it unless `headers` hold another authorization.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        if !headers.iter().any(|(name, _)| matches!(*name, "authorization" | "x-api-key")) {
            head += &format!("authorization: Bearer {}\r\n", self.key);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" && !headers.iter().any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding")) {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}
