"""Writes the plugin as an OCI image layout, in one tar: what `skopeo copy oci-archive:FILE docker://…` pushes.

One layer of the media type tar+gzip with /plugin.wasm in it: the form that Istio's agent takes for an OCI manifest
(pkg/wasm/imagefetcher.go), and that a container runtime takes too. The same module gives the same bytes: nothing in it tells
when, where or by whom it was made.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile

# The module runs anywhere; the field is required all the same, and clients look for their own.
PLATFORM = {"architecture": "amd64", "os": "linux"}


def tar(files):
    """A tar of these files, with nothing in it but names, sizes and bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def descriptor(media_type, data):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layout(wasm, version):
    """The files of the layout, the manifest's digest."""
    layer = tar([("plugin.wasm", wasm)])
    packed = gzip.compress(layer, compresslevel=9, mtime=0)
    labels = {
        "org.opencontainers.image.title": "llm-picker",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }
    config = compact(
        PLATFORM
        | {"config": {"Labels": labels}, "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}
    )
    manifest = compact(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", packed)],
            "annotations": labels,
        }
    )
    entry = descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": version}
    index = compact({"schemaVersion": 2, "manifests": [entry]})
    blobs = [("blobs/sha256/" + digest(blob)[7:], blob) for blob in (config, manifest, packed)]
    files = [("oci-layout", compact({"imageLayoutVersion": "1.0.0"})), ("index.json", index)]
    return files + sorted(blobs), digest(manifest)


def main(wasm, version, image):
    with open(wasm, "rb") as file:
        files, manifest = layout(file.read(), version)
    with open(image, "wb") as file:
        file.write(tar(files))
    print(manifest)


if __name__ == "__main__":
    main(*sys.argv[1:])
