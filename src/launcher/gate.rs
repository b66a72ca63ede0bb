//! The sync gate in kudu-master: the library that holds back its `fdatasync` until the sidecar permits it (`syncgate/`).
//!
//! **A kudu-master that was to be gated never serves without the gate.** The dynamic loader only prints a line when it cannot
//! preload a library, and goes on; so the launcher looks into the process, and kills it when the gate is not there.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Name of the library beside the program.
pub const LIBRARY: &str = "libkudu_pair_sync_gate.so";

/// The library, which `build.rs` compiled.
static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libkudu_pair_sync_gate.so"));

/// How long the loader may take to map the first libraries of a program.
const LOADER_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks into the process.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// The library's content, to be written where kudu-master can load it.
pub fn library() -> impl io::Read {
    BYTES
}

/// The gate that every kudu-master of a launcher runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    library: PathBuf,
    socket: PathBuf,
}

/// Why there is no gate.
#[derive(thiserror::Error, Debug)]
pub enum GateError {
    /// The library is not where it should be, or cannot be preloaded from there.
    #[error("--sync-gate {}: {reason}; `kudu-pair install` writes the library", path.display())]
    Library {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The path of the socket does not fit into a socket's address.
    #[error("--sync-gate-socket {}: longer than 107 bytes, which is what the address of a socket holds", .0.display())]
    Socket(PathBuf),
    /// The loader went on without it.
    #[error(
        "kudu-master was killed because the sync gate {} was not loaded into it: operations would have been acknowledged that \
         its standbys do not have; see the loader's message in its log", .0.display()
    )]
    NotLoaded(PathBuf),
    /// The process cannot be looked into.
    #[error("kudu-master was killed because it cannot be seen whether the sync gate was loaded into it: {0}")]
    Unseen(io::Error),
}

impl Gate {
    /// The gate in `library`, which asks the sidecar at `socket`.
    ///
    /// # Errors
    /// When the loader could not load it, or the gate not connect.
    pub fn new(library: &Path, socket: &Path) -> Result<Self, GateError> {
        let wrong = |reason: String| GateError::Library { path: library.to_owned(), reason };
        // The process's own list of what it has mapped names files without links.
        let library = library.canonicalize().map_err(|error| wrong(error.to_string()))?;
        let text = library.to_str().ok_or_else(|| wrong("its path is no UTF-8".to_owned()))?;
        if text.contains([' ', ':', '\n']) {
            return Err(wrong("its path has a space or a colon, which separate libraries to preload".to_owned()));
        }
        if socket.as_os_str().len() > 107 {
            return Err(GateError::Socket(socket.to_owned()));
        }
        Ok(Self { library, socket: socket.to_owned() })
    }

    /// What kudu-master is told in its environment.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.library.clone().into()), ("KUDU_PAIR_SYNC_GATE", self.socket.clone().into())]
    }

    /// Waits until the gate is in the process `pid`, which is becoming `program`.
    ///
    /// The loader maps what is preloaded before any library that the program needs. So there is no moment in which another
    /// library is there and the gate is still to come.
    ///
    /// # Errors
    /// When it is not; the process must be killed.
    pub fn wait_until_loaded(&self, pid: i32, program: &Path) -> Result<(), GateError> {
        let begun = Instant::now();
        let program = program.canonicalize().map_err(GateError::Unseen)?;
        let process = PathBuf::from(format!("/proc/{pid}"));
        loop {
            if fs::read_link(process.join("exe")).map_err(GateError::Unseen)? == program {
                let maps = fs::read_to_string(process.join("maps")).map_err(GateError::Unseen)?;
                match self.is_in(&maps, &program) {
                    Some(true) => return Ok(()),
                    Some(false) => return Err(GateError::NotLoaded(self.library.clone())),
                    None => {}
                }
            }
            if begun.elapsed() >= LOADER_PATIENCE {
                return Err(GateError::NotLoaded(self.library.clone()));
            }
            thread::sleep(LOOK_PAUSE);
        }
    }

    /// Whether the gate is among the files that a process has mapped; none while the loader has not come that far.
    fn is_in(&self, maps: &str, program: &Path) -> Option<bool> {
        let files = || maps.lines().filter_map(|line| line.split_whitespace().nth(5)).map(Path::new);
        if files().any(|file| file == self.library) {
            return Some(true);
        }
        let is_loader =
            |file: &Path| file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-"));
        let other = files().any(|file| file.is_absolute() && file != program && !is_loader(file));
        other.then_some(false)
    }
}

#[cfg(test)]
mod tests {
    use object::{
        Object as _,
        elf::{FileHeader64, R_X86_64_GLOB_DAT, R_X86_64_RELATIVE},
        read::elf::{Dyn as _, ElfFile64, FileHeader as _, SectionHeader as _, Sym as _},
    };

    use super::*;

    fn gate() -> Gate {
        Gate { library: "/opt/kudu-pair/gate.so".into(), socket: "/run/gate.sock".into() }
    }

    /// It loads under any C library: it needs none.
    #[test]
    fn the_library_needs_no_other_and_no_symbol_but_a_weak_one() {
        let file = ElfFile64::<object::Endianness>::parse(BYTES).unwrap();
        let endian = file.endian();
        let header: &FileHeader64<_> = file.elf_header();
        let sections = header.sections(endian, BYTES).unwrap();
        let dynamic = sections.iter().find_map(|section| section.dynamic(endian, BYTES).unwrap()).unwrap().0;
        assert!(!dynamic.iter().any(|entry| entry.tag(endian) == object::elf::DT_NEEDED), "it needs a library");
        let symbols = sections.symbols(endian, BYTES, object::elf::SHT_DYNSYM).unwrap();
        let undefined: Vec<_> = symbols
            .iter()
            .filter(|symbol| symbol.is_undefined(endian) && symbol.st_name(endian) != 0)
            .map(|symbol| (symbol.name(endian, symbols.strings()).unwrap(), symbol.st_bind()))
            .collect();
        assert_eq!(undefined, [(b"__errno_location".as_slice(), object::elf::STB_WEAK)]);
        let exported: Vec<_> = file.exports().unwrap().iter().map(|export| export.name().to_owned()).collect();
        assert_eq!(exported, [b"fdatasync".as_slice(), b"rename"]);
        let relocations = sections.iter().filter_map(|section| section.rela(endian, BYTES).unwrap());
        for relocation in relocations.flat_map(|(relocations, _)| relocations) {
            let kind = relocation.r_type(endian, false);
            assert!([R_X86_64_RELATIVE, R_X86_64_GLOB_DAT].contains(&kind), "a relocation of type {kind}");
        }
    }

    #[test]
    fn a_library_beside_others_is_found_and_one_that_is_missing_too() {
        let program = Path::new("/opt/kudu/bin/kudu-master");
        let line = |file: &str| format!("7f00-7f01 r-xp 00000000 08:01 1234                       {file}\n");
        let early = line("/opt/kudu/bin/kudu-master") + &line("/usr/lib/ld-linux-x86-64.so.2") + &line("[stack]");
        assert_eq!(gate().is_in(&early, program), None);
        let loaded = early.clone() + &line("/opt/kudu-pair/gate.so");
        assert_eq!(gate().is_in(&loaded, program), Some(true));
        let without = early + &line("/opt/kudu/lib/libmaster.so");
        assert_eq!(gate().is_in(&without, program), Some(false));
    }

    #[test]
    fn a_library_that_cannot_be_preloaded_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Gate::new(path, Path::new("/run/gate.sock")).unwrap_err().to_string();
        assert!(refused(&folder.path().join("none.so")).contains("No such file"));
        let spaced = folder.path().join("a b.so");
        fs::write(&spaced, BYTES).unwrap();
        assert!(refused(&spaced).contains("space"));
        let long = Gate::new(Path::new("/proc/self/exe"), Path::new(&"x".repeat(108))).unwrap_err();
        assert!(long.to_string().contains("107"), "{long}");
    }
}
