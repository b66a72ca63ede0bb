//! What a disk holds at a moment: what is durable, and what a loss of power may still take.
//!
//! Stricter than any file system in use: unflushed changes of content survive or not, whole or in part, each by itself; names
//! are durable only once their folder is flushed; a flush that failed has lost what it was to write, and the next one succeeds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
};

/// What survives a loss of power of all that was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survival {
    /// Nothing.
    Nothing,
    /// Everything.
    All,
    /// Content, but no names.
    Content,
    /// Names, but no content.
    Names,
    /// All names, and of each change of content the first half.
    Fronts,
    /// All names, and of each change of content the last two thirds, with zeros before them.
    Backs,
    /// All names, and of each file's changes only the last one.
    Latest,
    /// All content, and the first half of the changes of names.
    FirstNames,
    /// Each change or not, by a number that is drawn from this seed.
    Drawn(u64),
}

impl Survival {
    /// One of each kind.
    pub(crate) const EACH: [Self; 10] = [
        Self::Nothing,
        Self::All,
        Self::Content,
        Self::Names,
        Self::Fronts,
        Self::Backs,
        Self::Latest,
        Self::FirstNames,
        Self::Drawn(1),
        Self::Drawn(2),
    ];
}

type Node = usize;

/// A change of a file's content that is not flushed.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Content {
    File(File),
    Folder { now: BTreeMap<String, Node>, durable: BTreeMap<String, Node> },
}

/// A change of names; a rename is one change of two folders.
#[derive(Debug, Clone)]
struct NameChange(Vec<(Node, String, Option<Node>)>);

/// A disk: a tree of folders and files.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    nodes: Vec<Content>,
    names: Vec<NameChange>,
}

const ROOT: Node = 0;

impl Disk {
    /// The disk whose durable content is that of a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut disk = Self { nodes: vec![Content::folder()], names: Vec::new() };
        disk.load(ROOT, folder);
        disk.sync_below(Path::new(""));
        disk
    }

    fn load(&mut self, node: Node, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let is_folder = entry.file_type().expect("a type").is_dir();
            let child = match is_folder {
                true => self.add(Content::folder()),
                false => {
                    let durable = fs::read(entry.path()).expect("a file");
                    self.add(Content::File(File { durable, pending: Vec::new() }))
                }
            };
            self.change_names(vec![(node, name, Some(child))]);
            if is_folder {
                self.load(child, &entry.path());
            }
        }
    }

    /// What a loss of power leaves of it.
    pub(crate) fn after_power_loss(&self, survival: Survival) -> Self {
        let mut disk = self.clone();
        let mut draw = match survival {
            Survival::Drawn(seed) => Draw(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            _ => Draw(1),
        };
        let names = std::mem::take(&mut disk.names);
        let half = names.len().div_ceil(2);
        for (at, change) in names.into_iter().enumerate() {
            let survives = match survival {
                Survival::Nothing | Survival::Content => false,
                Survival::FirstNames => at < half,
                Survival::Drawn(_) => draw.one_of(2) == 0,
                _ => true,
            };
            if survives {
                disk.make_durable(&change);
            }
        }
        for node in &mut disk.nodes {
            match node {
                Content::File(file) => file.lose_power(survival, &mut draw),
                Content::Folder { now, durable } => now.clone_from(durable),
            }
        }
        disk
    }

    /// Writes its durable content into an empty folder.
    pub(crate) fn write_into(&self, folder: &Path) {
        self.write_node(ROOT, folder);
    }

    fn write_node(&self, node: Node, path: &Path) {
        match &self.nodes[node] {
            Content::File(file) => fs::write(path, &file.durable).expect("a file"),
            Content::Folder { durable, .. } => {
                if node != ROOT {
                    fs::create_dir(path).expect("a folder");
                }
                durable.iter().for_each(|(name, child)| self.write_node(*child, &path.join(name)));
            }
        }
    }

    // What follows changes it; paths are below its root, and what cannot be done was refused by the system before.

    /// A new, empty file, or the one that is there made empty.
    pub(crate) fn create(&mut self, path: &Path) -> Node {
        if let Some(node) = self.find(path) {
            self.set_len(node, 0);
            return node;
        }
        let node = self.add(Content::File(File::default()));
        self.name(path, Some(node));
        node
    }

    pub(crate) fn create_folder(&mut self, path: &Path) {
        let node = self.add(Content::folder());
        self.name(path, Some(node));
    }

    pub(crate) fn write(&mut self, node: Node, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("a small file");
        self.file(node).pending.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(crate) fn set_len(&mut self, node: Node, bytes: u64) {
        let length = usize::try_from(bytes).expect("a small file");
        self.file(node).pending.push(Change::Length(length));
    }

    /// Flushes a file's content.
    pub(crate) fn sync(&mut self, node: Node) {
        let file = self.file(node);
        for change in std::mem::take(&mut file.pending) {
            change.apply(&mut file.durable);
        }
    }

    /// A flush of a file's content that fails: what was written and not durable never will be, and nobody is told again. Lengths
    /// are in the file system's journal, as names are: they become durable with a later flush.
    pub(crate) fn fail_sync(&mut self, node: Node) {
        self.file(node).pending.retain(|change| matches!(change, Change::Length(_)));
    }

    /// Flushes a folder's names.
    pub(crate) fn sync_folder(&mut self, path: &Path) {
        let folder = self.find(path).expect("a folder");
        let (flushed, left) = std::mem::take(&mut self.names)
            .into_iter()
            .partition::<Vec<_>, _>(|change| change.0.iter().any(|(parent, ..)| *parent == folder));
        self.names = left;
        flushed.iter().for_each(|change| self.make_durable(change));
    }

    /// Flushes a folder with all that is below it.
    pub(crate) fn sync_below(&mut self, path: &Path) {
        self.sync_folder(path);
        let Some(Content::Folder { now, .. }) = self.find(path).map(|node| &self.nodes[node]) else { return };
        for (name, node) in now.clone() {
            match &self.nodes[node] {
                Content::File(_) => self.sync(node),
                Content::Folder { .. } => self.sync_below(&path.join(name)),
            }
        }
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) {
        let node = self.find(from).expect("something to rename");
        let (from, to) = (self.place(from), self.place(to));
        self.change_names(vec![(from.0, from.1, None), (to.0, to.1, Some(node))]);
    }

    pub(crate) fn link(&mut self, from: &Path, to: &Path) {
        let node = self.find(from).expect("something to link");
        self.name(to, Some(node));
    }

    pub(crate) fn remove(&mut self, path: &Path) {
        self.name(path, None);
    }

    pub(crate) fn find(&self, path: &Path) -> Option<Node> {
        path.components().try_fold(ROOT, |node, component| match (&self.nodes[node], component) {
            (_, Component::CurDir) => Some(node),
            (Content::Folder { now, .. }, Component::Normal(name)) => now.get(name.to_str()?).copied(),
            _ => None,
        })
    }

    fn add(&mut self, content: Content) -> Node {
        self.nodes.push(content);
        self.nodes.len() - 1
    }

    fn file(&mut self, node: Node) -> &mut File {
        match &mut self.nodes[node] {
            Content::File(file) => file,
            Content::Folder { .. } => panic!("{node} is a folder"),
        }
    }

    /// The folder of a path, and its name there.
    fn place(&self, path: &Path) -> (Node, String) {
        let folder = self.find(path.parent().expect("a folder")).expect("a folder");
        (folder, path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned())
    }

    fn name(&mut self, path: &Path, node: Option<Node>) {
        let (folder, name) = self.place(path);
        self.change_names(vec![(folder, name, node)]);
    }

    fn change_names(&mut self, changes: Vec<(Node, String, Option<Node>)>) {
        for (folder, name, node) in &changes {
            let Content::Folder { now, .. } = &mut self.nodes[*folder] else { panic!("{folder} is no folder") };
            set(now, name, *node);
        }
        self.names.push(NameChange(changes));
    }

    fn make_durable(&mut self, change: &NameChange) {
        for (folder, name, node) in &change.0 {
            let Content::Folder { durable, .. } = &mut self.nodes[*folder] else { panic!("{folder} is no folder") };
            set(durable, name, *node);
        }
    }
}

fn set(names: &mut BTreeMap<String, Node>, name: &str, node: Option<Node>) {
    match node {
        Some(node) => names.insert(name.to_owned(), node),
        None => names.remove(name),
    };
}

impl Content {
    fn folder() -> Self {
        Self::Folder { now: BTreeMap::new(), durable: BTreeMap::new() }
    }
}

impl File {
    fn lose_power(&mut self, survival: Survival, draw: &mut Draw) {
        let pending = std::mem::take(&mut self.pending);
        let last = pending.len().saturating_sub(1);
        for (at, change) in pending.into_iter().enumerate() {
            let left = match survival {
                Survival::Nothing | Survival::Names => None,
                Survival::All | Survival::Content | Survival::FirstNames => Some(change),
                Survival::Fronts => Some(change.front()),
                Survival::Backs => Some(change.back()),
                Survival::Latest => (at == last).then_some(change),
                Survival::Drawn(_) => match draw.one_of(4) {
                    0 => None,
                    1 => Some(change.front()),
                    2 => Some(change.back()),
                    _ => Some(change),
                },
            };
            if let Some(change) = left {
                change.apply(&mut self.durable);
            }
        }
    }
}

impl Change {
    fn apply(self, content: &mut Vec<u8>) {
        match self {
            Self::Length(length) => content.resize(length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[offset..end].copy_from_slice(&bytes);
            }
        }
    }

    fn front(self) -> Self {
        match self {
            Self::Write { offset, bytes } => Self::Write { offset, bytes: bytes[..bytes.len() / 2].to_vec() },
            length @ Self::Length(_) => length,
        }
    }

    fn back(self) -> Self {
        match self {
            Self::Write { offset, bytes } => {
                let third = bytes.len() / 3;
                Self::Write { offset: offset + third, bytes: bytes[third..].to_vec() }
            }
            length @ Self::Length(_) => length,
        }
    }
}

/// Numbers that follow from a seed (xorshift).
struct Draw(u64);

impl Draw {
    fn one_of(&mut self, many: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % many
    }
}
