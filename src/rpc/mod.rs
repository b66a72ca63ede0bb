//! A client of Kudu's RPC that asks servers something, in plain text and under no other name than its own.

mod wire;

use std::io;

use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::wire::Reply;

/// Longest reply to a step of the negotiation, in bytes.
const LONGEST_STEP: usize = 1024 * 1024;

/// What became of a connection.
#[derive(Debug)]
pub(crate) enum Connected {
    /// The server takes calls on it.
    Ready(Connection),
    /// The server answers, but talks to nobody in plain text (`--rpc_encryption=required`), or only to whom it knows.
    Declined,
}

/// A connection on which calls are made, one after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
}

/// Connects and negotiates, as a new client does.
pub(crate) async fn connect(address: &str) -> io::Result<Connected> {
    let mut connection = Connection { stream: TcpStream::connect(address).await? };
    connection.stream.set_nodelay(true)?;
    for words in [wire::greeting(), wire::introduction()] {
        connection.stream.write_all(&words).await?;
        if wire::negotiated(&connection.reply(LONGEST_STEP).await?) == Reply::Final {
            return Ok(Connected::Declined);
        }
    }
    connection.stream.write_all(&wire::context()).await?;
    Ok(Connected::Ready(connection))
}

/// A method of a server, and how it may answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// The service's full name.
    pub(crate) service: &'static str,
    /// The method's name.
    pub(crate) name: &'static str,
    /// Longest reply that is read, in bytes.
    pub(crate) longest_reply: usize,
}

impl Connection {
    /// Calls a method; the server gives up after `timeout_millis`. Returns its answer, or the words of its error.
    pub(crate) async fn call<T: Message + Default>(
        &mut self,
        method: Method,
        timeout_millis: u32,
        body: &impl Message,
    ) -> io::Result<Result<T, String>> {
        self.stream.write_all(&wire::call(method.service, method.name, timeout_millis, body)).await?;
        Ok(wire::answer(&self.reply(method.longest_reply).await?))
    }

    async fn reply(&mut self, longest: usize) -> io::Result<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await?;
        let bytes = usize::try_from(u32::from_be_bytes(length)).ok().filter(|bytes| *bytes <= longest);
        let mut reply = vec![0; bytes.ok_or(io::ErrorKind::InvalidData)?];
        self.stream.read_exact(&mut reply).await?;
        Ok(reply)
    }
}
