//! As much of Kudu's RPC protocol as it takes to change tables and to look at them.
//!
//! Kudu's own tools cannot change a table's owner, and take a tenth of a second for anything: too long for hundreds of
//! tables in each of these tests.

use std::{
    io::{self, Read, Write},
    net::{SocketAddrV4, TcpStream},
    thread,
    time::{Duration, Instant},
};

use prost::Message;

use super::messages::{
    AlterTable, ConnectionContext, CreateTable, DeleteTable, ErrorStatus, IsDone, Method, Negotiate, Outcome,
    RequestHeader, ResponseHeader, SaslMechanism, Table, TableReply, WhichTable,
};
use crate::member::PATIENCE;

const NEGOTIATION_CALL: i32 = -33;
const CONTEXT_CALL: i32 = -3;
const STEP_NEGOTIATE: i32 = 1;
const STEP_SASL_INITIATE: i32 = 2;
const STEP_SASL_SUCCESS: i32 = 0;
/// What the master says while it is not, or not yet, one that can change anything.
const NOT_NOW: [i32; 2] = [6, 7];
/// What it says of a change that an earlier try of the same call has made.
const MADE_ALREADY: [i32; 2] = [3, 4];
/// A master that is alive answers within so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of the pair, which goes on when the master under it is replaced.
pub(crate) struct Client {
    address: SocketAddrV4,
    connection: Option<Connection>,
}

impl Client {
    pub(crate) fn new(address: SocketAddrV4) -> Self {
        Self { address, connection: None }
    }

    /// Creates a table; it is usable when [`Self::wait_until_created`] returns.
    pub(crate) fn create(&mut self, table: &CreateTable) {
        self.change("CreateTable", table);
    }

    pub(crate) fn wait_until_created(&mut self, name: &str) {
        self.wait_until_done("IsCreateTableDone", name);
    }

    /// Alters a table and waits until its tablets know.
    pub(crate) fn alter(&mut self, change: &AlterTable) {
        self.change("AlterTable", change);
        let old = change.table.table_name.as_deref().unwrap_or_default();
        self.wait_until_done("IsAlterTableDone", change.new_table_name.as_deref().unwrap_or(old));
    }

    /// Drops a table.
    pub(crate) fn drop_table(&mut self, name: &str) {
        let drop = DeleteTable { table: Table::named(name), reserve_seconds: Some(0) };
        self.change("DeleteTable", &drop);
    }

    /// All that the master tells of a table except the authorization to read it, which is new each time.
    pub(crate) fn table(&mut self, name: &str) -> TableReply {
        let which = WhichTable { table: Table::named(name) };
        let (reply, _): (TableReply, _) = self.call_until_answered("GetTableSchema", &which);
        assert!(reply.error.is_none(), "{name}: {:?}", reply.error);
        reply
    }

    fn change(&mut self, method: &str, request: &(impl Message + std::fmt::Debug)) {
        let (reply, retried): (Outcome, _) = self.call_until_answered(method, request);
        if let Some(error) = reply.error {
            let made = retried && MADE_ALREADY.contains(&error.code);
            assert!(made, "{method} {request:?}: {error:?}");
        }
    }

    fn wait_until_done(&mut self, method: &str, name: &str) {
        let which = WhichTable { table: Table::named(name) };
        let begin = Instant::now();
        loop {
            let (reply, _): (IsDone, _) = self.call_until_answered(method, &which);
            assert!(reply.error.is_none(), "{method} {name}: {:?}", reply.error);
            if reply.done == Some(true) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{method} {name}: not within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Calls until a master that leads has answered. Also tells whether an earlier try may have had its effect.
    fn call_until_answered<R: Reply>(&mut self, method: &str, request: &impl Message) -> (R, bool) {
        let begin = Instant::now();
        let mut retried = false;
        loop {
            let why = match self.call::<R>(method, request) {
                Ok(reply) => match reply.code() {
                    Some(code) if NOT_NOW.contains(&code) => format!("error {code}"),
                    _ => return (reply, retried),
                },
                Err(error) => {
                    self.connection = None;
                    error.to_string()
                }
            };
            assert!(begin.elapsed() < PATIENCE, "{method}: no answer within {PATIENCE:?}: {why}");
            retried = true;
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn call<R: Message + Default>(&mut self, method: &str, request: &impl Message) -> io::Result<R> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        self.connection.insert(connection).call(method, request)
    }
}

/// A reply that can be an error of the master.
pub(crate) trait Reply: Message + Default {
    fn code(&self) -> Option<i32>;
}

impl Reply for Outcome {
    fn code(&self) -> Option<i32> {
        self.error.as_ref().map(|error| error.code)
    }
}

impl Reply for IsDone {
    fn code(&self) -> Option<i32> {
        self.error.as_ref().map(|error| error.code)
    }
}

impl Reply for TableReply {
    fn code(&self) -> Option<i32> {
        self.error.as_ref().map(|error| error.code)
    }
}

struct Connection {
    stream: TcpStream,
    calls: i32,
}

impl Connection {
    /// Connects without encryption, which servers accept from their own machine.
    fn open(address: SocketAddrV4) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut connection = Self { stream, calls: 0 };
        connection.stream.write_all(b"hrpc\x09\x00\x00")?;
        connection.negotiate(Negotiate { step: STEP_NEGOTIATE, ..Negotiate::default() })?;
        let done = connection.negotiate(Negotiate {
            step: STEP_SASL_INITIATE,
            token: Some(b"\0root\0".to_vec()),
            sasl_mechanisms: vec![SaslMechanism { mechanism: "PLAIN".to_owned() }],
        })?;
        if done.step != STEP_SASL_SUCCESS {
            return Err(io::Error::other(format!("negotiation: step {}", done.step)));
        }
        connection.send(CONTEXT_CALL, None, &ConnectionContext::default())?;
        Ok(connection)
    }

    fn negotiate(&mut self, step: Negotiate) -> io::Result<Negotiate> {
        self.send(NEGOTIATION_CALL, None, &step)?;
        self.receive()
    }

    fn call<R: Message + Default>(&mut self, method: &str, request: &impl Message) -> io::Result<R> {
        self.calls += 1;
        let method = Method { service: "kudu.master.MasterService".to_owned(), method: method.to_owned() };
        self.send(self.calls, Some(method), request)?;
        self.receive()
    }

    fn send(&mut self, call: i32, method: Option<Method>, body: &impl Message) -> io::Result<()> {
        let header = RequestHeader { call, timeout_millis: method.is_some().then_some(10_000), method };
        let mut message = header.encode_length_delimited_to_vec();
        message.extend(body.encode_length_delimited_to_vec());
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(message);
        self.stream.write_all(&bytes)
    }

    fn receive<R: Message + Default>(&mut self) -> io::Result<R> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?];
        self.stream.read_exact(&mut bytes)?;
        let mut rest = &bytes[..];
        let header = ResponseHeader::decode_length_delimited(&mut rest).map_err(io::Error::other)?;
        if header.is_error == Some(true) {
            let status = ErrorStatus::decode_length_delimited(&mut rest).map_err(io::Error::other)?;
            return Err(io::Error::other(status.message));
        }
        R::decode_length_delimited(&mut rest).map_err(io::Error::other)
    }
}
