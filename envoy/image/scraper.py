"""Writes the scraper as an OCI image layout for several architectures, in one tar: what `skopeo copy --all oci-archive:FILE
docker://…` pushes.

One layer with the static program and the plugin that it serves, and nothing else: no shell, no C library. The same files give
the same bytes.

    scraper.py VERSION WASM IMAGE ARCHITECTURE=PROGRAM…
"""

import gzip
import io
import sys
import tarfile

from oci import compact, descriptor, digest, tar

PROGRAM = "usr/local/bin/llm-scraper"
# Served to gateways that no registry serves (picker.image.fromScraper in the chart).
PLUGIN = "usr/local/share/llm-picker/llm-picker.wasm"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def layer(program, wasm):
    """A tar of the two files, with nothing in it but names, sizes, modes and bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data, mode in (PROGRAM, program, 0o755), (PLUGIN, wasm, 0o644):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def image(architecture, program, wasm, version):
    """Manifest, and blobs, of one architecture."""
    unpacked = layer(program, wasm)
    packed = gzip.compress(unpacked, compresslevel=9, mtime=0)
    labels = {
        "org.opencontainers.image.title": "llm-scraper",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    # Any other user that is not root will do too: OpenShift chooses one of its own.
    run = {"Entrypoint": ["/" + PROGRAM], "User": "65532:65532", "ExposedPorts": {"9091/tcp": {}}, "Labels": labels}
    rootfs = {"type": "layers", "diff_ids": [digest(unpacked)]}
    config = compact({"architecture": architecture, "os": "linux", "config": run, "rootfs": rootfs})
    manifest = compact(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
            "annotations": labels,
        }
    )
    return manifest, [config, manifest, packed]


def layout(version, wasm, programs):
    """The files of the layout, the index's digest."""
    entries, blobs = [], []
    for architecture, program in sorted(programs.items()):
        manifest, more = image(architecture, program, wasm, version)
        entry = descriptor(MANIFEST, manifest)
        entry["platform"] = {"architecture": architecture, "os": "linux"}
        entries.append(entry)
        blobs += more
    of_all = compact(
        {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}
    )
    top = descriptor("application/vnd.oci.image.index.v1+json", of_all)
    top["annotations"] = {"org.opencontainers.image.ref.name": version}
    named = {"blobs/sha256/" + digest(blob)[7:]: blob for blob in [*blobs, of_all]}
    index = compact({"schemaVersion": 2, "manifests": [top]})
    files = [("oci-layout", compact({"imageLayoutVersion": "1.0.0"})), ("index.json", index)]
    return files + sorted(named.items()), digest(of_all)


def main(version, wasm, image_file, *programs):
    def read(path):
        with open(path, "rb") as file:
            return file.read()

    named = dict(it.split("=", 1) for it in programs)
    files, of_all = layout(version, read(wasm), {name: read(path) for name, path in named.items()})
    with open(image_file, "wb") as file:
        file.write(tar(files))
    print(of_all)


if __name__ == "__main__":
    main(*sys.argv[1:])
