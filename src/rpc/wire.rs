//! As much of Kudu's RPC protocol as it takes to ask servers something. Pure. Field numbers are those of `rpc_header.proto`.

use prost::Message;

/// Numbers of calls that Kudu reserves.
const NEGOTIATION: i32 = -33;
const CONTEXT: i32 = -3;
/// The number of the one call that is made.
const CALL: i32 = 1;

const STEP_SASL_SUCCESS: i32 = 0;
const STEP_NEGOTIATE: i32 = 1;
const STEP_SASL_INITIATE: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct RequestHeader {
    #[prost(int32, required, tag = "3")]
    call: i32,
    #[prost(message, optional, tag = "6")]
    method: Option<Method>,
    #[prost(uint32, optional, tag = "10")]
    timeout_millis: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Method {
    #[prost(string, required, tag = "1")]
    service: String,
    #[prost(string, required, tag = "2")]
    method: String,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(int32, required, tag = "1")]
    call: i32,
    #[prost(bool, optional, tag = "2")]
    is_error: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Negotiate {
    #[prost(int32, required, tag = "2")]
    step: i32,
    #[prost(bytes = "vec", optional, tag = "3")]
    token: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    sasl_mechanisms: Vec<SaslMechanism>,
}

#[derive(Clone, PartialEq, Message)]
struct SaslMechanism {
    #[prost(string, required, tag = "2")]
    mechanism: String,
}

#[derive(Clone, PartialEq, Message)]
struct ConnectionContext {}

/// The words of an error that a server answers with (`ErrorStatusPB`).
#[derive(Clone, PartialEq, Message)]
struct ErrorStatus {
    #[prost(bytes = "vec", required, tag = "1")]
    message: Vec<u8>,
}

/// What a reply to a step of the negotiation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// The server agrees; say the next.
    GoOn,
    /// It will not go on with somebody who says so little of himself.
    Final,
}

/// How a conversation begins: a greeting, and a proposal without encryption.
pub(super) fn greeting() -> Vec<u8> {
    let mut bytes = b"hrpc\x09\x00\x00".to_vec();
    bytes.extend(frame(NEGOTIATION, None, &Negotiate { step: STEP_NEGOTIATE, ..Negotiate::default() }));
    bytes
}

/// The answer to the first reply: who asks.
pub(super) fn introduction() -> Vec<u8> {
    let negotiate = Negotiate {
        step: STEP_SASL_INITIATE,
        token: Some(b"\0kudu-pair\0".to_vec()),
        sasl_mechanisms: vec![SaslMechanism { mechanism: "PLAIN".to_owned() }],
    };
    frame(NEGOTIATION, None, &negotiate)
}

/// What is said before the first call.
pub(super) fn context() -> Vec<u8> {
    frame(CONTEXT, None, &ConnectionContext {})
}

/// A call.
pub(super) fn call(service: &str, method: &str, timeout_millis: u32, body: &impl Message) -> Vec<u8> {
    let method = Method { service: service.to_owned(), method: method.to_owned() };
    frame(CALL, Some((method, timeout_millis)), body)
}

/// What a server answers to a call, or the words of its error.
pub(super) fn answer<T: Message + Default>(mut reply: &[u8]) -> Result<T, String> {
    let header = ResponseHeader::decode_length_delimited(&mut reply).map_err(|error| error.to_string())?;
    if header.is_error == Some(true) {
        let status = ErrorStatus::decode_length_delimited(&mut reply).map_err(|error| error.to_string())?;
        return Err(String::from_utf8_lossy(&status.message).into_owned());
    }
    T::decode_length_delimited(&mut reply).map_err(|error| error.to_string())
}

/// What the reply to a step of the negotiation means.
pub(super) fn negotiated(mut reply: &[u8]) -> Reply {
    let Ok(header) = ResponseHeader::decode_length_delimited(&mut reply) else { return Reply::Final };
    let Ok(negotiate) = Negotiate::decode_length_delimited(&mut reply) else { return Reply::Final };
    let agrees = header.is_error != Some(true) && matches!(negotiate.step, STEP_NEGOTIATE | STEP_SASL_SUCCESS);
    if agrees { Reply::GoOn } else { Reply::Final }
}

fn frame(call: i32, method: Option<(Method, u32)>, body: &impl Message) -> Vec<u8> {
    let (method, timeout_millis) = method.unzip();
    let mut message = RequestHeader { call, method, timeout_millis }.encode_length_delimited_to_vec();
    message.extend(body.encode_length_delimited_to_vec());
    // A few hundred bytes.
    let mut bytes = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    bytes.extend(message);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reply(is_error: bool, step: i32) -> Vec<u8> {
        let mut bytes = ResponseHeader { call: NEGOTIATION, is_error: Some(is_error) }.encode_length_delimited_to_vec();
        bytes.extend(Negotiate { step, ..Negotiate::default() }.encode_length_delimited_to_vec());
        bytes
    }

    #[test]
    fn only_a_server_that_agrees_is_asked_on() {
        assert_eq!(negotiated(&reply(false, STEP_NEGOTIATE)), Reply::GoOn);
        assert_eq!(negotiated(&reply(false, STEP_SASL_SUCCESS)), Reply::GoOn);
        assert_eq!(negotiated(&reply(true, STEP_NEGOTIATE)), Reply::Final);
        assert_eq!(negotiated(&reply(false, 7)), Reply::Final);
    }

    #[test]
    fn an_answer_and_the_words_of_an_error_are_told_apart() {
        let status = ErrorStatus { message: b"not authorized".to_vec() };
        let with = |is_error: bool| {
            let mut bytes = ResponseHeader { call: CALL, is_error: Some(is_error) }.encode_length_delimited_to_vec();
            bytes.extend(status.encode_length_delimited_to_vec());
            bytes
        };
        assert_eq!(answer::<ErrorStatus>(&with(false)), Ok(status.clone()));
        assert_eq!(answer::<ErrorStatus>(&with(true)), Err("not authorized".to_owned()));
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_it_does_not_panic(bytes: Vec<u8>) {
            negotiated(&bytes);
            let _ = answer::<ErrorStatus>(&bytes);
        }
    }
}
