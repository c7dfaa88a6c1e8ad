//! Compiled plugins on disk, so that only the first start of a plugin waits for
//! the compiler.
//!
//! What is in the folder is native code that will be executed, so it must
//! belong to the user alone: a folder that somebody else could have written to
//! is not used at all, and nobody can name a file to be loaded.

use std::fs::{self, DirBuilder, File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use nix::unistd::{Uid, User, getegid, geteuid};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::output::escape;
use crate::plugin::Plugin;

/// Names the folder instead of the user's cache folder.
const FOLDER_VARIABLE: &str = "PAI_CACHE_DIR";
const NAME: &str = "pai-host";
const EXTENSION: &str = "cwasm";
/// Entries kept; the least recently used go first.
const MOST_ENTRIES: usize = 64;
/// An entry's time is renewed when it is older than this.
const RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Compiling longer than this is told to the user.
const PATIENCE: Duration = Duration::from_millis(300);

/// The folder, if there is one to be trusted.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: Option<PathBuf>,
}

/// Why a folder is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("there is no home directory")]
    NoHome,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is not a directory")]
    NotADirectory(PathBuf),
    #[error("{0} belongs to somebody else")]
    NotOurs(PathBuf),
    #[error("{0} is open to others")]
    Open(PathBuf),
    #[error("{0} can be changed by others")]
    Changeable(PathBuf),
}

impl Cache {
    /// The user's cache folder, made if need be.
    pub(crate) fn open() -> Self {
        match usable_folder() {
            Ok(folder) => Self {
                folder: Some(folder),
            },
            Err(reason) => {
                tracing::debug!(target: "pai::host", %reason, "compiled plugins are not kept");
                Self { folder: None }
            }
        }
    }

    /// The compiled plugin, from disk or from the compiler.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        plugin: &Plugin,
    ) -> wasmtime::Result<Component> {
        let Some(folder) = &self.folder else {
            return compile(engine, plugin);
        };
        let entry = folder.join(entry_name(engine, plugin));
        match load(engine, &entry) {
            Ok(Some(component)) => return Ok(component),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(target: "pai::host", ?entry, %error, "a cache entry is not usable");
            }
        }
        let component = compile(engine, plugin)?;
        if let Err(error) = store(folder, &entry, &component) {
            tracing::debug!(target: "pai::host", ?entry, %error, "a compiled plugin is not kept");
        }
        Ok(component)
    }
}

/// The folder in which compiled plugins are kept, made if need be.
///
/// # Errors
/// Why they are not kept.
pub fn folder() -> Result<PathBuf, String> {
    usable_folder().map_err(|reason| reason.to_string())
}

fn usable_folder() -> Result<PathBuf, Unusable> {
    let folder = find()?;
    prepare(&folder)?;
    Ok(folder)
}

/// Where the folder should be: beside other caches of the user as whom we run.
fn find() -> Result<PathBuf, Unusable> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    if let Some(folder) = absolute(FOLDER_VARIABLE) {
        return Ok(folder);
    }
    if let Some(caches) = absolute("XDG_CACHE_HOME") {
        return Ok(caches.join(NAME));
    }
    // sudo may leave the caller's home, where a folder of ours would be in the
    // caller's way.
    let home = absolute("HOME")
        .filter(|home| home.metadata().is_ok_and(|home| is_ours(&home)))
        .or_else(|| Some(User::from_uid(geteuid()).ok()??.dir))
        .ok_or(Unusable::NoHome)?;
    Ok(home.join(".cache").join(NAME))
}

fn is_ours(metadata: &Metadata) -> bool {
    Uid::from_raw(metadata.uid()) == geteuid()
}

/// Makes the folder, or checks the one that is there.
fn prepare(folder: &Path) -> Result<(), Unusable> {
    let io = |source| Unusable::Io {
        path: folder.to_owned(),
        source,
    };
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    // Not through a link: its owner is not who made the target.
    let metadata = folder.symlink_metadata().map_err(io)?;
    if !metadata.is_dir() {
        return Err(Unusable::NotADirectory(folder.to_owned()));
    }
    if !is_ours(&metadata) {
        return Err(Unusable::NotOurs(folder.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(Unusable::Open(folder.to_owned()));
    }
    // Nor can anybody put something else in its place.
    let whole = folder.canonicalize().map_err(io)?;
    for parent in whole.ancestors().skip(1) {
        if !is_fixed(&parent.symlink_metadata().map_err(io)?) {
            return Err(Unusable::Changeable(parent.to_owned()));
        }
    }
    Ok(())
}

/// Whether only we and root can replace what of ours is in this folder.
fn is_fixed(folder: &Metadata) -> bool {
    const STICKY: u32 = 0o1000;
    let owner = Uid::from_raw(folder.uid());
    let mode = folder.mode();
    // A group of the user's own has nobody else in it.
    let own_group = folder.gid() == getegid().as_raw() && folder.gid() == geteuid().as_raw();
    let changeable = mode & 0o002 != 0 || mode & 0o020 != 0 && !own_group;
    (owner.is_root() || owner == geteuid()) && (!changeable || mode & STICKY != 0)
}

/// Depends on the plugin's bytes and on everything that decides what they are
/// compiled to: wasmtime's version, its settings, the machine.
fn entry_name(engine: &Engine, plugin: &Plugin) -> String {
    let mut key = KeyHasher(Sha256::new());
    key.write(&plugin.digest);
    engine.precompile_compatibility_hash().hash(&mut key);
    let mut name = String::new();
    for byte in key.0.finalize() {
        name.push_str(&format!("{byte:02x}"));
    }
    format!("{name}.{EXTENSION}")
}

/// Feeds a digest with what would be hashed.
struct KeyHasher(Sha256);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // The digest is taken instead.
        0
    }
}

/// Loads an entry; `None` when there is none.
fn load(engine: &Engine, entry: &Path) -> wasmtime::Result<Option<Component>> {
    let mut options = File::options();
    options.read(true).custom_flags(nix::libc::O_NOFOLLOW);
    let file = match options.open(entry) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || !is_ours(&metadata) || metadata.mode() & 0o077 != 0 {
        return Err(wasmtime::Error::msg("it is not a file of ours alone"));
    }
    let component = deserialize(engine, &file)?;
    let age = metadata.modified()?.elapsed().unwrap_or_default();
    if age > RENEWAL
        && let Err(error) = file.set_modified(SystemTime::now())
    {
        tracing::debug!(target: "pai::host", ?entry, %error, "its time is not renewed");
    }
    Ok(Some(component))
}

#[expect(
    unsafe_code,
    reason = "the one place where native code is loaded from a file"
)]
fn deserialize(engine: &Engine, entry: &File) -> wasmtime::Result<Component> {
    // The file that was checked, whatever has its name by now.
    let open = format!("/proc/self/fd/{}", entry.as_raw_fd());
    // SAFETY: the file must be what `Component::serialize` made, unchanged. It
    // is a regular file of ours in a folder of ours, neither of them open to
    // anybody else, so only this user's own processes can have written it; it
    // was written completely before it got this name, which no input chooses.
    // Wasmtime itself checks version, settings and machine.
    unsafe { Component::deserialize_file(engine, open) }
}

/// Writes an entry beside its place, then moves it there.
fn store(folder: &Path, entry: &Path, component: &Component) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    // Made with mode 0600.
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .tempfile_in(folder)?;
    file.write_all(&code)?;
    // A name that survives a crash without its data would be loaded.
    file.as_file().sync_data()?;
    file.persist(entry)?;
    prune(folder)?;
    Ok(())
}

/// Removes the least recently used entries, and what crashes left behind.
fn prune(folder: &Path) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in folder.read_dir()? {
        let path = entry?.path();
        let Ok(modified) = path.symlink_metadata().and_then(|m| m.modified()) else {
            continue;
        };
        if path.extension().is_some_and(|ext| ext == EXTENSION) {
            entries.push((modified, path));
        } else if modified.elapsed().is_ok_and(|age| age > RENEWAL) {
            fs::remove_file(path)?;
        }
    }
    entries.sort_unstable_by(|a, b| b.cmp(a));
    for (_, path) in entries.into_iter().skip(MOST_ENTRIES) {
        fs::remove_file(path)?;
    }
    Ok(())
}

fn compile(engine: &Engine, plugin: &Plugin) -> wasmtime::Result<Component> {
    let manifest = &plugin.manifest;
    let mut what = plugin.name.clone();
    if !manifest.version.is_empty() {
        what.push(' ');
        what.push_str(&manifest.version);
    }
    let progress = io::stderr()
        .is_terminal()
        .then(|| Progress::start(what, PATIENCE, io::stderr()));
    let component = Component::from_binary(engine, &plugin.wasm);
    drop(progress);
    component
}

/// A line on the terminal, should it take long; gone when it is over.
struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    fn start(what: String, patience: Duration, mut out: impl Write + Send + 'static) -> Self {
        let (done, waiting) = channel::<()>();
        let thread = thread::spawn(move || {
            // A terminal that is gone needs no progress.
            let mut say = |text: &str| drop(out.write_all(text.as_bytes()));
            if waiting.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                say(&format!("compiling {} (once)", escape(&what)));
                // Ends when the sender is dropped.
                if waiting.recv().is_err() {
                    say("\r\x1b[K");
                }
            }
        });
        Self(Some((done, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.0.take() {
            drop(done);
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_is_made_for_us_alone() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b/pai-host");
        prepare(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        prepare(&folder).unwrap();
    }

    #[test]
    fn folders_that_others_can_reach_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("pai-host");
        prepare(&folder).unwrap();
        for open in [0o770, 0o750, 0o705, 0o702, 0o720] {
            mode(&folder, open);
            assert!(
                matches!(prepare(&folder), Err(Unusable::Open(_))),
                "{open:o}"
            );
        }
        mode(&folder, 0o700);
        let link = base.path().join("link");
        symlink(&folder, &link).unwrap();
        assert!(matches!(prepare(&link), Err(Unusable::NotADirectory(_))));
        let file = base.path().join("file");
        File::create(&file).unwrap();
        assert!(matches!(prepare(&file), Err(Unusable::NotADirectory(_))));
        assert!(matches!(prepare(&file.join("x")), Err(Unusable::Io { .. })));
        if !geteuid().is_root() {
            assert!(matches!(prepare(Path::new("/")), Err(Unusable::NotOurs(_))));
        }
    }

    #[test]
    fn folders_that_others_can_replace_are_refused() {
        let base = tempfile::tempdir().unwrap();
        let parent = base.path().join("x");
        let folder = parent.join("pai-host");
        prepare(&folder).unwrap();
        for (open, fixed) in [
            (0o755, true),
            (0o777, false),
            (0o1777, true),
            (0o702, false),
        ] {
            mode(&parent, open);
            let prepared = prepare(&folder);
            assert_eq!(prepared.is_ok(), fixed, "{open:o}: {prepared:?}");
        }
    }

    #[test]
    fn only_the_newest_entries_are_kept() {
        let base = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - RENEWAL * 3;
        for n in 0..MOST_ENTRIES + 5 {
            let file = File::create(base.path().join(format!("{n}.cwasm"))).unwrap();
            let age = u32::try_from(n).unwrap();
            file.set_modified(old + Duration::from_secs(1) * age)
                .unwrap();
        }
        let left = File::create(base.path().join(".new-crashed")).unwrap();
        left.set_modified(old).unwrap();
        File::create(base.path().join(".new-being-written")).unwrap();
        prune(base.path()).unwrap();
        assert!(!base.path().join("4.cwasm").exists());
        assert!(base.path().join("5.cwasm").exists());
        assert!(!base.path().join(".new-crashed").exists());
        assert!(base.path().join(".new-being-written").exists());
    }

    #[test]
    fn a_line_is_shown_while_it_takes_long() {
        let (mut reader, writer) = io::pipe().unwrap();
        let progress = Progress::start("demo 1.0".to_owned(), Duration::ZERO, writer);
        let mut line = [0; 25];
        io::Read::read_exact(&mut reader, &mut line).unwrap();
        assert_eq!(line, *b"compiling demo 1.0 (once)");
        drop(progress);
        let mut rest = String::new();
        io::Read::read_to_string(&mut reader, &mut rest).unwrap();
        assert_eq!(rest, "\r\x1b[K");

        let (mut reader, writer) = io::pipe().unwrap();
        drop(Progress::start("demo".to_owned(), Duration::MAX, writer));
        io::Read::read_to_string(&mut reader, &mut rest).unwrap();
        assert_eq!(rest, "\r\x1b[K", "it took no time");
    }
}
