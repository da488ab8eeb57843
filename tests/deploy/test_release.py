"""What is published: archives that are the same each time, the scraper's image, one version everywhere."""

import gzip
import hashlib
import io
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest

import kube
import yaml

ARCHIVE = kube.ROOT / "tools/archive.py"
SCRAPER_IMAGE = kube.ROOT / "envoy/image/scraper.py"


def cargo_version():
    return re.search(r'^version = "([^"]+)"', (kube.ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def chart_archive(folder):
    file = pathlib.Path(folder, "chart.tgz")
    subprocess.run([sys.executable, ARCHIVE, file, "llm-picker", "envoy/chart"], check=True, cwd=kube.ROOT)
    return file


class Release(unittest.TestCase):
    def test_every_file_that_names_a_version_names_cargos(self):
        version = cargo_version()
        chart = yaml.safe_load((kube.CHART / "Chart.yaml").read_text())
        values = yaml.safe_load((kube.CHART / "values.yaml").read_text())
        self.assertEqual([chart["version"], chart["appVersion"]], [version] * 2)
        self.assertEqual([values["picker"]["image"]["tag"], values["scraper"]["image"]["tag"]], [version] * 2)
        named = [chart["annotations"]["artifacthub.io/images"]]
        named += [file.read_text() for file in (kube.ROOT / "envoy/istio").rglob("*.yaml")]
        named += [(kube.ROOT / "docs/istio.md").read_text()]
        tags = re.findall(r"/llm-(?:picker|scraper):([0-9][^\s\"`,]*)", "\n".join(named))
        self.assertGreater(len(tags), 5)
        self.assertEqual(set(tags), {version})

    def test_helm_takes_the_packed_chart(self):
        with tempfile.TemporaryDirectory() as folder:
            file = chart_archive(folder)
            self.assertEqual(file.read_bytes(), chart_archive(folder).read_bytes())
            shown = kube.run("helm", "show", "chart", file)
            self.assertEqual(yaml.safe_load(shown.stdout)["version"], cargo_version(), shown.stderr)
            self.assertIn("# The chart", kube.run("helm", "show", "readme", file).stdout)
            self.assertTrue(kube.objects(kube.run("helm", "template", "picker", file)))

    def test_an_archive_tells_nothing_of_the_machine(self):
        with tempfile.TemporaryDirectory() as folder:
            for member in tarfile.open(chart_archive(folder)).getmembers():
                said = (member.mtime, member.uid, member.gid, member.uname, member.gname)
                self.assertEqual(said, (0, 0, 0, "", ""), member.name)

    def test_the_scrapers_image_has_a_program_for_each_architecture(self):
        programs = {"amd64": b"one program", "arm64": b"another program"}
        with tempfile.TemporaryDirectory() as folder:
            made = []
            for number in range(2):
                image = pathlib.Path(folder, f"{number}.tar")
                for name, data in (*programs.items(), ("wasm", b"a plugin")):
                    pathlib.Path(folder, name).write_bytes(data)
                paths = [f"{name}={folder}/{name}" for name in programs]
                command = [sys.executable, SCRAPER_IMAGE, "1.2.3", f"{folder}/wasm", image, *paths]
                digest = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
                made.append((digest, image.read_bytes()))
            self.assertEqual(*made)
            files = tarfile.open(fileobj=io.BytesIO(made[0][1]))

        def blob(entry):
            data = files.extractfile("blobs/sha256/" + entry["digest"].removeprefix("sha256:")).read()
            self.assertEqual(("sha256:" + hashlib.sha256(data).hexdigest(), len(data)), (entry["digest"], entry["size"]))
            return data

        [top] = json.loads(files.extractfile("index.json").read())["manifests"]
        self.assertEqual(top["digest"], made[0][0])
        for entry in json.loads(blob(top))["manifests"]:
            manifest = json.loads(blob(entry))
            config = json.loads(blob(manifest["config"]))
            self.assertEqual(config["architecture"], entry["platform"]["architecture"])
            self.assertEqual(config["config"]["User"], "65532:65532")
            unpacked = gzip.decompress(blob(manifest["layers"][0]))
            self.assertEqual(config["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(unpacked).hexdigest()])
            layer = tarfile.open(fileobj=io.BytesIO(unpacked))
            member = layer.getmember(config["config"]["Entrypoint"][0][1:])
            self.assertEqual(layer.extractfile(member).read(), programs[config["architecture"]])
            self.assertEqual(member.mode & 0o111, 0o111)

    def test_a_tags_workflow_pushes_what_the_release_makes(self):
        text = (kube.ROOT / ".github/workflows/release.yaml").read_text()
        jobs = yaml.safe_load(text)["jobs"]
        runs = {job: [step.get("run", "") for step in steps["steps"]] for job, steps in jobs.items()}
        self.assertIn("./build.sh release", runs["build"])
        self.assertEqual(jobs["publish"]["needs"], ["test", "build"])
        self.assertNotIn("build.sh", "".join(runs["publish"]), "what may write builds nothing")
        made = (kube.ROOT / "tools/release.sh").read_text()
        for name in re.findall(r"dist/release/(llm-[a-z-]+-)\$version", text):
            self.assertIn(name + "$(version)", made)


if __name__ == "__main__":
    unittest.main()
