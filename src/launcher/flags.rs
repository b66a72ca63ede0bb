//! The command line of kudu-master: what the operator sets, and what a user may add. Pure.

use std::path::Path;

use crate::api::RESERVED_FLAGS;

/// How long a starting master may take to apply pending operations and load the catalog, in milliseconds.
///
/// Kudu aborts past this, and with its default of 30 s it did with 219,000 pending operations; an abort at that point only begins
/// the same work again. A standby's pending operations are bounded elsewhere: this is the net below.
pub const CATCHUP_TIMEOUT_MS: u32 = 600_000;

/// How long kudu-master may look for the metadata service of a cloud. It does that at every start and waits for it, even with a
/// time source that does not use it, and where nothing answers Kudu's default of 1000 ms is two thirds of a promotion. A user's own
/// value wins.
const CLOUD_METADATA_TIMEOUT_MS: u32 = 10;

/// The same with `--time_source=auto`, the only one that uses what is found. A metadata service is on the same machine and answers in
/// a few milliseconds.
const CLOUD_METADATA_TIMEOUT_AUTO_MS: u32 = 100;

/// After so long a new master makes the tablets anew of a table that was being created when the old one ended and whose tablet
/// servers had not been told yet. Kudu's default of 30 s is all the time that a client gives to a creation, which then
/// failed in one of seven switches that were watched. A user's own value wins.
const TABLET_CREATION_TIMEOUT_MS: u32 = 10_000;

/// How often a master looks for tablets that wait for a tablet server, in milliseconds. After a promotion they wait until the tablet servers have
/// told the new master of themselves, and nothing wakes it then; with Kudu's default of 1000 ms a client that makes a table waits for that as
/// well. A look goes over all tablets, about 10 ms of one core for 100,000 of them. A user's own value wins.
const PENDING_TABLETS_LOOK_MS: u32 = 200;

/// Where a master listens, and under which names it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// RPC address to bind, `host:port`.
    pub rpc_bind: String,
    /// Port of the web pages; they are bound to the host of `rpc_bind`.
    pub webserver_port: u16,
    /// RPC address to tell clients, `host:port`.
    pub advertise: Option<String>,
    /// Port of the web pages to tell clients, when `advertise` is set.
    pub webserver_advertised_port: Option<u16>,
}

/// Why a user's flag is refused.
#[derive(thiserror::Error, Debug, PartialEq, Eq)]
pub enum FlagError {
    /// The operator sets it.
    #[error("flag --{name} (given as '{given}') cannot be set: kudu-pair sets it itself; remove it. {why}")]
    Reserved {
        /// The flag's name.
        name: &'static str,
        /// What was given.
        given: String,
        /// The rule.
        why: &'static str,
    },
    /// It is not written as a flag.
    #[error("'{given}' is not a flag of the form --name or --name=value; write it so, with the value behind '='")]
    Malformed {
        /// What was given.
        given: String,
    },
}

/// Refuses flags that the operator sets itself, in every spelling that Kudu's flag parser takes: one dash or two, `-` for `_`,
/// `no` in front of a boolean.
pub fn check_user_flags(flags: &[String]) -> Result<(), FlagError> {
    flags.iter().try_for_each(|given| {
        let name = name_of(given).ok_or_else(|| FlagError::Malformed { given: given.clone() })?;
        let taken =
            RESERVED_FLAGS.into_iter().find(|reserved| name == *reserved || name.strip_prefix("no") == Some(reserved));
        match taken {
            Some(name) => Err(FlagError::Reserved { name, given: given.clone(), why: why_reserved(name) }),
            None => Ok(()),
        }
    })
}

/// The name of a flag as Kudu's flag parser understands it.
fn name_of(flag: &str) -> Option<String> {
    let name = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'))?;
    let name = name.split('=').next().unwrap_or_default().replace('-', "_");
    let first = name.chars().next()?;
    (first.is_ascii_alphabetic() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then_some(name)
}

fn why_reserved(name: &str) -> &'static str {
    match name {
        "fs_wal_dir" | "fs_data_dirs" | "fs_metadata_dir" => {
            "Give the folders with --wal-dir and --data-dir of the launcher"
        }
        "rpc_bind_addresses" => "Give the address with --rpc-bind of the launcher",
        "rpc_advertised_addresses" | "webserver_advertised_addresses" => {
            "Give the name with --advertise of the launcher"
        }
        "webserver_port" | "webserver_interface" => "Give the port with --webserver-port of the launcher",
        "encrypt_data_at_rest" => "Encryption at rest is not supported: standbys cannot read an encrypted log",
        "master_addresses" => "A pair is a cluster of one master; its standbys are not Raft peers",
        "flagfile" | "fromenv" | "tryfromenv" => "Flags are given on the command line, so that they can be checked",
        "log_force_fsync_all" | "env_use_fsync" => {
            "Acknowledgement by standbys rests on them; spec.replication.acknowledgement asks for that"
        }
        "catalog_manager_check_ts_count_for_create_table" => {
            "With it, clients are shown an error until tablet servers have found a promoted master"
        }
        "tablet_transaction_memory_limit_mb" | "master_failover_catchup_timeout_ms" => {
            "With Kudu's default a promotion with many pending operations fails"
        }
        _ => "The launcher depends on its value",
    }
}

/// The arguments of kudu-master for a generation whose folders are `wal` and `data`.
///
/// The user's flags come first and the operator's last: for a flag given twice Kudu takes the last. `gated`: it runs with the
/// sync gate, which holds back what Kudu syncs, so Kudu has to sync each operation before it acknowledges it.
pub fn master_args(
    user: &[String],
    wal: &Path,
    data: &Path,
    www: Option<&Path>,
    at: &Addresses,
    gated: bool,
) -> Vec<String> {
    let mut args = defaults(user);
    args.extend_from_slice(user);
    args.extend(operators_args(wal, data));
    if gated {
        args.extend(["--log_force_fsync_all=true", "--env_use_fsync=false"].map(str::to_owned));
    }
    args.push(format!("--rpc_bind_addresses={}", at.rpc_bind));
    args.push(format!("--webserver_interface={}", host_of(&at.rpc_bind)));
    args.push(format!("--webserver_port={}", at.webserver_port));
    if let Some(www) = www {
        args.push(format!("--webserver_doc_root={}", www.display()));
    }
    if let Some(advertise) = &at.advertise {
        let port = at.webserver_advertised_port.unwrap_or(at.webserver_port);
        args.push(format!("--rpc_advertised_addresses={advertise}"));
        args.push(format!("--webserver_advertised_addresses={}:{port}", host_of(advertise)));
    }
    args
}

/// The arguments of the master that makes a new catalog: nobody can know its port.
pub fn formatting_args(user: &[String], wal: &Path, data: &Path) -> Vec<String> {
    let mut args = defaults(user);
    args.extend_from_slice(user);
    args.extend(operators_args(wal, data));
    args.extend(
        [
            "--rpc_bind_addresses=127.0.0.1:0",
            "--rpc_server_allow_ephemeral_ports",
            "--unlock_unsafe_flags", // for the line above
            "--webserver_interface=127.0.0.1",
            "--webserver_port=0",
        ]
        .map(str::to_owned),
    );
    args
}

/// Flags for which the operator has a better default than Kudu, and the user the last word.
fn defaults(user: &[String]) -> Vec<String> {
    let time_source = user.iter().rfind(|flag| name_of(flag).as_deref() == Some("time_source"));
    let auto = time_source.is_some_and(|flag| flag.ends_with("=auto"));
    let metadata_timeout_ms = if auto { CLOUD_METADATA_TIMEOUT_AUTO_MS } else { CLOUD_METADATA_TIMEOUT_MS };
    vec![
        format!("--cloud_metadata_server_request_timeout_ms={metadata_timeout_ms}"),
        format!("--tablet_creation_timeout_ms={TABLET_CREATION_TIMEOUT_MS}"),
        format!("--catalog_manager_bg_task_wait_ms={PENDING_TABLETS_LOOK_MS}"),
    ]
}

fn operators_args(wal: &Path, data: &Path) -> Vec<String> {
    vec![
        format!("--fs_wal_dir={}", wal.display()),
        format!("--fs_data_dirs={}", data.display()),
        // The container's log is where Kubernetes looks.
        "--logtostderr".to_owned(),
        // Else over 64 MB of pending operations fail the start ("rejected due to memory pressure").
        "--tablet_transaction_memory_limit_mb=-1".to_owned(),
        format!("--master_failover_catchup_timeout_ms={CATCHUP_TIMEOUT_MS}"),
        "--unlock_experimental_flags".to_owned(), // for the line above
        // A promoted master knows no tablet server until each one's next heartbeat; without the check a new table waits
        // for them, with it the client is shown an error.
        "--catalog_manager_check_ts_count_for_create_table=false".to_owned(),
    ]
}

/// The user's flags that Kudu's own tools need to work on the same files.
pub fn tool_flags(user: &[String]) -> Vec<String> {
    let concerns_files = |flag: &&String| {
        name_of(flag).is_some_and(|name| {
            name == "block_manager"
                || name.starts_with("fs_")
                || name.starts_with("unlock_")
                || name.starts_with("log_block_manager")
        })
    };
    user.iter().filter(concerns_files).cloned().collect()
}

/// The host of `host:port`, without the brackets of an IPv6 address.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("--fs_wal_dir=/x", "fs_wal_dir")]
    #[case("-fs-wal-dir=/x", "fs_wal_dir")]
    #[case("--nologtostderr", "logtostderr")]
    #[case("--rpc_bind_addresses", "rpc_bind_addresses")]
    #[case("--encrypt_data_at_rest", "encrypt_data_at_rest")]
    fn a_reserved_flag_is_refused_in_every_spelling(#[case] given: &str, #[case] expected: &str) {
        match check_user_flags(&[given.to_owned()]) {
            Err(FlagError::Reserved { name, given: told, .. }) => assert_eq!((name, told.as_str()), (expected, given)),
            other => panic!("{other:?}"),
        }
    }

    #[rstest]
    #[case("/x")]
    #[case("--")]
    #[case("--=1")]
    #[case("-")]
    fn what_is_no_flag_is_refused(#[case] given: &str) {
        assert_eq!(check_user_flags(&[given.to_owned()]), Err(FlagError::Malformed { given: given.to_owned() }));
    }

    #[test]
    fn other_flags_pass() {
        let flags = ["--time_source=system_unsync", "--notify=1", "-v=1"].map(str::to_owned);
        assert_eq!(check_user_flags(&flags), Ok(()));
    }

    #[test]
    fn the_operators_flags_win_over_the_users() {
        let at = Addresses {
            rpc_bind: "[::1]:7".into(),
            webserver_port: 8,
            advertise: None,
            webserver_advertised_port: None,
        };
        let user = vec!["--unlock_experimental_flags=false".to_owned()];
        let args = master_args(&user, Path::new("/w"), Path::new("/d"), None, &at, false);
        let last = args.iter().rposition(|arg| arg.starts_with("--unlock_experimental_flags")).unwrap();
        assert_eq!(args[last], "--unlock_experimental_flags");
        assert!(args.contains(&"--webserver_interface=::1".to_owned()));
    }

    #[rstest]
    #[case(&[], "10")]
    #[case(&["--time_source=system_unsync"], "10")]
    #[case(&["--time-source=auto"], "100")]
    #[case(&["--time_source=auto", "--time_source=system"], "10")]
    fn the_metadata_service_is_waited_for_where_its_clock_is_used(#[case] user: &[&str], #[case] expected_ms: &str) {
        let user: Vec<_> = user.iter().map(|flag| (*flag).to_owned()).collect();
        let args = formatting_args(&user, Path::new("/w"), Path::new("/d"));
        assert_eq!(args[0], format!("--cloud_metadata_server_request_timeout_ms={expected_ms}"));
    }

    #[test]
    fn tools_get_only_what_concerns_files() {
        let user = ["--block_manager=file", "--v=1", "--fs_target_data_dirs_per_tablet=1"].map(str::to_owned);
        assert_eq!(tool_flags(&user), [&user[0][..], &user[2][..]]);
    }
}
