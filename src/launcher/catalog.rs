//! What the launcher reads of a generation's catalog: whose it is, and its term.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use prost::Message;

use super::pbc::{PbcError, first_message};

/// The tablet that holds all of a master's state.
pub const TABLET: &str = "00000000000000000000000000000000";

/// Why a catalog cannot be used.
#[derive(thiserror::Error, Debug)]
pub enum CatalogError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged or of another form.
    #[error("{}: {source}", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PbcError,
    },
    /// A file's message is damaged.
    #[error("{}: {source}", path.display())]
    Message {
        /// The file.
        path: PathBuf,
        /// Why.
        source: prost::DecodeError,
    },
    /// Kudu encrypts the files of this folder.
    #[error(
        "{} is encrypted at rest, which is not supported, since standbys cannot read an encrypted log; \
         make the pair on new volumes without --encrypt_data_at_rest", .0.display()
    )]
    Encrypted(PathBuf),
    /// The folder was made, but there is no catalog in it.
    #[error("{} has no catalog: {} is missing; make the generation anew, under another name", folder.display(), missing.display())]
    NoCatalog {
        /// The generation's folder.
        folder: PathBuf,
        /// What is missing.
        missing: PathBuf,
    },
    /// The files belong to another master.
    #[error("{} belongs to the master with uuid {found}, not {wanted}; it is not of this pair", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The uuid that the file names.
        found: String,
        /// The uuid that was asked for.
        wanted: String,
    },
}

/// `InstanceMetadataPB`: the fields that are needed.
#[derive(Clone, PartialEq, Message)]
struct Instance {
    #[prost(string, tag = "1")]
    uuid: String,
    #[prost(bytes, optional, tag = "3")]
    server_key: Option<Vec<u8>>,
    #[prost(message, repeated, tag = "6")]
    tenants: Vec<Tenant>,
}

/// `TenantMetadataPB`: that there is one is enough.
#[derive(Clone, PartialEq, Message)]
struct Tenant {}

/// `ConsensusMetadataPB`: the fields that are needed.
#[derive(Clone, PartialEq, Message)]
struct ConsensusMetadata {
    #[prost(message, optional, tag = "1")]
    committed_config: Option<RaftConfig>,
    #[prost(int64, tag = "2")]
    current_term: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RaftConfig {
    #[prost(message, repeated, tag = "3")]
    peers: Vec<Peer>,
}

#[derive(Clone, PartialEq, Message)]
struct Peer {
    #[prost(bytes, tag = "1")]
    uuid: Vec<u8>,
}

/// What the consensus metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consensus {
    /// The current term.
    pub term: i64,
    /// The only member of the Raft configuration.
    pub peer: String,
}

/// Where the consensus metadata lies.
pub fn consensus_path(wal: &Path) -> PathBuf {
    wal.join("consensus-meta").join(TABLET)
}

/// The uuid in a folder's `instance` file; an error when the folder is encrypted.
pub fn uuid(folder: &Path) -> Result<String, CatalogError> {
    let path = folder.join("instance");
    let instance: Instance = read(&path)?;
    if instance.server_key.is_some() || !instance.tenants.is_empty() {
        return Err(CatalogError::Encrypted(folder.to_owned()));
    }
    Ok(instance.uuid)
}

/// Reads the consensus metadata.
pub fn consensus(wal: &Path) -> Result<Consensus, CatalogError> {
    let metadata: ConsensusMetadata = read(&consensus_path(wal))?;
    let peers = metadata.committed_config.map(|config| config.peers).unwrap_or_default();
    let peer = peers.first().map(|peer| String::from_utf8_lossy(&peer.uuid).into_owned()).unwrap_or_default();
    Ok(Consensus { term: metadata.current_term, peer })
}

/// Makes sure that a generation has a whole catalog before kudu-master sees it.
///
/// kudu-master takes a missing folder for a new deployment and makes an empty catalog in it, without an error and under an
/// identity of its own: an empty cluster where there was a full one.
pub fn check(wal: &Path, data: &Path) -> Result<(), CatalogError> {
    for folder in [wal, data] {
        let missing = folder.join("instance");
        // A data folder inside the log's is the same folder.
        if !missing.exists() {
            return Err(CatalogError::NoCatalog { folder: folder.to_owned(), missing });
        }
        uuid(folder)?;
    }
    for missing in [consensus_path(wal), wal.join("tablet-meta").join(TABLET), wal.join("wals").join(TABLET)] {
        if !missing.exists() {
            return Err(CatalogError::NoCatalog { folder: wal.to_owned(), missing });
        }
    }
    Ok(())
}

/// Makes sure that a catalog is the one of the master with this uuid.
pub fn check_uuid(wal: &Path, wanted: &str) -> Result<(), CatalogError> {
    let foreign = |path: PathBuf, found| CatalogError::Foreign { path, found, wanted: wanted.to_owned() };
    let found = uuid(wal)?;
    if found != wanted {
        return Err(foreign(wal.join("instance"), found));
    }
    let found = consensus(wal)?.peer;
    if found != wanted {
        return Err(foreign(consensus_path(wal), found));
    }
    Ok(())
}

fn read<M: Message + Default>(path: &Path) -> Result<M, CatalogError> {
    let path = path.to_owned();
    let file = match fs::read(&path) {
        Ok(file) => file,
        Err(source) => return Err(CatalogError::Unreadable { path, source }),
    };
    match first_message(&file).map(M::decode) {
        Ok(Ok(message)) => Ok(message),
        Ok(Err(source)) => Err(CatalogError::Message { path, source }),
        Err(source) => Err(CatalogError::Container { path, source }),
    }
}
