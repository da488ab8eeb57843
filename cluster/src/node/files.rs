//! The files that a container sees: the machine's programs, and an /etc, /run and /var of its own.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::control_plane::HOST;

/// Files of the machine's /etc that programs look for whatever they do.
const FROM_MACHINE: [&str; 3] = ["group", "nsswitch.conf", "passwd"];

/// Script that puts a container's root together in a mount namespace of its own and becomes the program. Its first
/// argument is the folder of the container's own files, the second the project's, the rest is the program's command line.
pub(super) const ENTER: &str = r#"
set -e
own=$1 project=$2 root=$1/root
shift 2
mkdir -p "$root"
mount -t tmpfs tmpfs "$root"
bind() {
  if [ -L "$1" ]; then cp -P "$1" "$root$1"
  elif [ -d "$1" ]; then mkdir -p "$root$1"; mount --rbind "$1" "$root$1"
  fi
}
for it in /*; do case $it in /etc | /run | /usr | /var) ;; *) bind "$it" ;; esac; done
for it in /usr/*; do [ "$it" = /usr/local ] || bind "$it"; done
for it in /usr/local/*; do [ "$it" = /usr/local/share ] || bind "$it"; done
for it in etc run var usr/local/share; do mkdir -p "$root/$it"; mount --bind "$own/$it" "$root/$it"; done
# Its programs are there, and it may be below what the container has of its own.
[ -d "$root$project" ] || bind "$project"
exec chroot "$root" "$@"
"#;

/// The folder of a container's own files.
#[derive(Debug)]
pub(super) struct OwnFiles {
    root: PathBuf,
}

impl OwnFiles {
    /// Makes the folder, with what every container has.
    pub(super) fn create(root: PathBuf) -> Result<Self> {
        for folder in ["etc", "run", "var/lib", "var/log", "var/tmp", "usr/local/share"] {
            fs::create_dir_all(root.join(folder)).context(root.display().to_string())?;
        }
        symlink("/run", root.join("var/run"))?;
        // Names are in the hosts file: no DNS server answers, and programs want to read of one.
        fs::write(root.join("etc/resolv.conf"), format!("nameserver {HOST}\n"))?;
        for name in FROM_MACHINE {
            match fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => (),
            }
        }
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file at a path of the container.
    pub(super) fn write(&self, path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
        let path = self.place(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, contents).with_context(|| path.display().to_string())
    }

    /// Makes a folder at a path of the container.
    pub(super) fn folder(&self, path: &Path) -> Result<()> {
        let path = self.place(path);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())
    }

    /// Returns where a path of the container is on the machine. /var/run is /run, as its link says in the container only.
    fn place(&self, path: &Path) -> PathBuf {
        let path = path
            .strip_prefix("/var/run")
            .map_or_else(|_| path.to_owned(), |rest| Path::new("/run").join(rest));
        let parts = path.components().filter(|part| matches!(part, Component::Normal(_)));
        self.root.join(parts.collect::<PathBuf>())
    }
}
