"""The plugin's image, read as Istio's agent reads an OCI manifest: plugin.wasm in the last layer, a tar+gzip."""

import functools
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import unittest

import kube
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SCRIPT = kube.ROOT / "envoy/image/oci.py"
WASM = kube.ROOT / "dist/llm-picker.wasm"


def image():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, SCRIPT, WASM, "0.1.0", f"{folder}/image.tar"]
        digest = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        with open(f"{folder}/image.tar", "rb") as file:
            return digest, file.read()


@functools.cache
def parts_list(package, product):
    command = [SCRIPT.with_name("sbom.sh"), "wasm32-wasip1", package, product]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Image(unittest.TestCase):
    def test_the_agent_finds_the_module(self):
        digest, data = image()
        files = tarfile.open(fileobj=io.BytesIO(data))
        read = lambda name: files.extractfile(name).read()

        def blob(descriptor):
            data = read("blobs/sha256/" + descriptor["digest"].removeprefix("sha256:"))
            self.assertEqual("sha256:" + hashlib.sha256(data).hexdigest(), descriptor["digest"])
            self.assertEqual(len(data), descriptor["size"])
            return data

        self.assertEqual(json.loads(read("oci-layout")), {"imageLayoutVersion": "1.0.0"})
        entry = json.loads(read("index.json"))["manifests"][0]
        self.assertEqual(entry["digest"], digest)
        manifest = json.loads(blob(entry))
        layer = manifest["layers"][-1]
        self.assertEqual(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip")
        unpacked = gzip.decompress(blob(layer))
        config = json.loads(blob(manifest["config"]))
        self.assertEqual(config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(unpacked).hexdigest()])
        module = tarfile.open(fileobj=io.BytesIO(unpacked)).extractfile("plugin.wasm").read()
        self.assertEqual(module, WASM.read_bytes())

    def test_it_is_the_same_every_time(self):
        self.assertEqual(image(), image())

    def test_the_parts_lists_are_cyclonedx(self):
        for package, product in ("filter", "llm-picker"), ("scraper", "llm-scraper"):
            validator = JsonStrictValidator(SchemaVersion.V1_5)
            self.assertIsNone(validator.validate_str(parts_list(package, product)), product)
            self.assertIsNotNone(validator.validate_str(parts_list(package, product).replace('"library"', '"book"')))

    def test_the_parts_list_holds_what_is_linked_and_no_more(self):
        bom = json.loads(parts_list("filter", "llm-picker"))
        names = {component["name"] for component in bom["components"]}
        self.assertLessEqual({"proxy-wasm", "serde_json", "picker-core", "wire"}, names)
        self.assertFalse({"insta", "tokio", "wasmtime"} & names)
        known = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
        self.assertEqual({entry["ref"] for entry in bom["dependencies"]}, known)

    def test_the_parts_list_names_the_product_and_no_machine(self):
        said = parts_list("filter", "llm-picker")
        self.assertEqual(json.loads(said)["metadata"]["component"]["name"], "llm-picker")
        self.assertNotIn(str(kube.ROOT), said)
        self.assertEqual(parts_list.__wrapped__("filter", "llm-picker"), said)
        self.assertEqual(list(kube.ROOT.glob("*/llm-picker-sbom.json")), [])


if __name__ == "__main__":
    unittest.main()
