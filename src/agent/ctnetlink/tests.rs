use proptest::prelude::*;

use super::*;

fn tuple(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Vec<u8> {
    let mut addresses = Vec::new();
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            attribute(&mut addresses, IP4_SOURCE, &source.octets());
            attribute(&mut addresses, IP4_DESTINATION, &destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            attribute(&mut addresses, IP6_SOURCE, &source.octets());
            attribute(&mut addresses, IP6_DESTINATION, &destination.octets());
        }
        _ => panic!("two families"),
    }
    let mut ports = Vec::new();
    attribute(&mut ports, PROTOCOL_NUMBER, &[protocol]);
    attribute(&mut ports, SOURCE_PORT, &source.port().to_be_bytes());
    attribute(&mut ports, DESTINATION_PORT, &destination.port().to_be_bytes());
    let mut tuple = Vec::new();
    attribute(&mut tuple, TUPLE_IP | NESTED, &addresses);
    attribute(&mut tuple, TUPLE_PROTOCOL | NESTED, &ports);
    tuple
}

/// A flow as a kernel tells it.
fn told(client: &str, address: &str, server: &str, protocol: u8, state: u8) -> Vec<u8> {
    let [client, address, server] = [client, address, server].map(|text| text.parse().unwrap());
    let mut message = begin(NEW, 2, 7, family(client));
    attribute(&mut message, TUPLE_ORIG | NESTED, &tuple(client, address, protocol));
    attribute(&mut message, TUPLE_REPLY | NESTED, &tuple(server, client, protocol));
    // In between comes what is not read.
    attribute(&mut message, 3, &[0, 0, 1, 0x8e]);
    let (mut tcp, mut info) = (Vec::new(), Vec::new());
    attribute(&mut tcp, TCP_STATE, &[state]);
    attribute(&mut info, INFO_TCP | NESTED, &tcp);
    attribute(&mut message, PROTOCOL_INFO | NESTED, &info);
    attribute(&mut message, ID, &[1, 2, 3, 4]);
    attribute(&mut message, ZONE, &[0, 9]);
    end(message)
}

#[test]
fn reads_a_flow_and_names_it_as_the_kernel_did() {
    for (client, address, server) in [
        ("10.81.3.4:40000", "10.82.7.9:7051", "10.81.1.7:7051"),
        ("[fd00:3::4]:40000", "[fd00::9]:7051", "[fd00:1::7]:7051"),
    ] {
        let answers = read(&told(client, address, server, TCP, TCP_ESTABLISHED), 7).unwrap();
        let [Answer::Flow(flow)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(
            [flow.client, flow.address, flow.server],
            [client, address, server].map(|text| text.parse().unwrap())
        );
        assert!(flow.established);

        let request = delete(&flow.id, 8);
        assert_eq!(usize::try_from(u32::from_ne_bytes(*request.first_chunk().unwrap())).unwrap(), request.len());
        assert_eq!(u16::from_ne_bytes([request[4], request[5]]), DELETE);
        let attributes = &request[HEADER + FAMILY_HEADER..];
        assert_eq!(request[HEADER], family(flow.client));
        assert_eq!(read_tuple(find(attributes, TUPLE_ORIG).unwrap()).unwrap(), (flow.client, flow.address));
        assert_eq!(find(attributes, ID), Some(&[1, 2, 3, 4][..]), "a later flow between the same ends is another one");
        assert_eq!(find(attributes, ZONE), Some(&[0, 9][..]));
    }
}

#[test]
fn tells_an_open_connection_from_another() {
    let answers = read(&told("10.81.3.4:1", "10.82.7.9:7051", "10.81.1.7:7051", TCP, 1), 7).unwrap();
    assert!(matches!(&answers[..], [Answer::Flow(flow)] if !flow.established), "{answers:?}");
}

#[test]
fn other_protocols_are_no_flows() {
    assert_eq!(read(&told("10.81.3.4:1", "10.82.7.9:7051", "10.81.1.7:7051", 17, 0), 7), Some(vec![Answer::Other]));
}

#[test]
fn reads_results_and_leaves_answers_to_others_out() {
    let result = |code: i32, sequence| {
        let mut message = begin(ERROR, 0, sequence, 0);
        message.truncate(HEADER);
        message.extend(code.to_ne_bytes());
        end(message)
    };
    let mut done = begin(DONE, 2, 7, 0);
    done.extend([0; 0]);
    let datagram = [result(0, 7), result(-2, 7), result(-1, 6), end(done)].concat();
    assert_eq!(read(&datagram, 7), Some(vec![Answer::Result(0), Answer::Result(2), Answer::Done]));
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..300) {
        let _ = read(&bytes, 7);
        let whole = told("10.81.3.4:40000", "10.82.7.9:7051", "10.81.1.7:7051", TCP, TCP_ESTABLISHED);
        let mut torn = whole.clone();
        torn.truncate(cut.min(whole.len()));
        torn.extend(bytes);
        let _ = read(&torn, 7);
    }
}
