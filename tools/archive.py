"""Writes a .tar.gz of files, the same bytes for the same files: no times, owners or order of this machine.

    archive.py OUT FOLDER FILE[=NAME]…

Each file is put into FOLDER, under its own name or NAME; a folder with all that Git knows in it, under its own path.
"""

import gzip
import io
import os
import subprocess
import sys
import tarfile


def files(argument):
    """Names in the archive, and paths here, of one argument."""
    path, _, name = argument.partition("=")
    if not os.path.isdir(path):
        return [(name or os.path.basename(path), path)]
    tracked = subprocess.run(["git", "ls-files", "-z", path], check=True, capture_output=True, text=True).stdout
    inside = [it for it in tracked.split("\0") if it]
    return [(os.path.join(name, os.path.relpath(it, path)), it) for it in inside]


def main(out, folder, *arguments):
    buffer = io.BytesIO()
    found = sorted({name: path for argument in arguments for name, path in files(argument)}.items())
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, path in found:
            with open(path, "rb") as file:
                data = file.read()
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.addfile(member, io.BytesIO(data))
    with open(out, "wb") as file:
        file.write(gzip.compress(buffer.getvalue(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
