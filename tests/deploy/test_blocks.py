"""The documents' blocks of code: the commands run in their order over a stack, and the files are read by what reads them."""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

import blocks
import kube
import yaml
from stranger import told

STACK = kube.ROOT / "dist/llm-picker-stack"
SCRAPER = kube.ROOT / "dist/llm-scraper"
ENVOY = pathlib.Path(os.environ.get("LLM_PICKER_ENVOY", kube.ROOT / "target/envoy-venv/bin/envoy"))
BODY = {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "Where does this go?"}]}
# Seconds for a stack to be ready, and for a block.
PATIENCE = 60


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for it in sockets:
        it.bind(("127.0.0.1", 0))
    ports = [it.getsockname()[1] for it in sockets]
    for it in sockets:
        it.close()
    return ports


def until(look):
    """Looks until there is something to see."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.1)
    raise AssertionError("nothing came")


def chat(url):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(BODY).encode(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


class Stack:
    """What a block of `./build.sh run` starts."""

    def __init__(self, block, folder):
        words = block.split()
        if words[:2] != ["./build.sh", "run"]:
            raise AssertionError(block)
        self.log = folder / f"stack-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            command = [STACK, "--port", "0", *words[2:]]
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        until(lambda: "ready:" in self.log.read_text() or self.process.poll() is not None)
        rows, lines = told(self.log.read_text())
        if "ready" not in lines:
            raise AssertionError(self.log.read_text())
        self.gateway, self.page, self.folder = lines["ready"], lines["page"], pathlib.Path(lines["logs"])
        self.admin = rows["envoy"][1]
        self.pods = [address for name, (_, address) in sorted(rows.items()) if name.startswith("pod")]

    def envoy_log(self):
        return "\n".join(file.read_text(errors="replace") for file in self.folder.rglob("envoy*.log"))

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)


class Ledger(unittest.TestCase):
    def test_every_block_is_in_the_list_and_nothing_else(self):
        found = [blocks.entry(block) for block in blocks.all_of()]
        self.assertEqual(sorted(found), sorted(blocks.LEDGER), "a page has a block twice, or the list has one that is gone")

    def test_what_is_told_elsewhere_is_named_there(self):
        for (page, _), (fate, where) in blocks.LEDGER.items():
            if fate == "told":
                with self.subTest(page=page, where=where):
                    self.assertIn(pathlib.Path(page).name, (kube.ROOT / where).read_text())


class Reads(unittest.TestCase):
    """Files, each read by what reads it."""

    def texts(self, how):
        found = [block.text for block in blocks.all_of() if blocks.LEDGER[blocks.entry(block)] == ("read", how)]
        self.assertTrue(found)
        return found

    def test_the_plugins_and_the_scrapers_are_taken(self):
        with tempfile.TemporaryDirectory() as folder:
            for how in "plugin", "settings":
                for number, text in enumerate(self.texts(how)):
                    file = pathlib.Path(folder, f"{how}-{number}.yaml")
                    file.write_text(text)
                    checked = subprocess.run([SCRAPER, "check", file], capture_output=True, text=True, check=False)
                    self.assertEqual(checked.returncode, 0, text + checked.stdout + checked.stderr)

    def test_a_route_matches_headers_that_the_page_has(self):
        [text] = self.texts("route")
        page = (kube.ROOT / "docs/configuration.md").read_text()
        rules = yaml.safe_load(text)["spec"]["rules"]
        for rule in rules:
            [match], [backend] = rule["matches"], rule["backendRefs"]
            self.assertEqual(set(backend), {"name", "port"})
            for header in match["headers"]:
                self.assertIn(f"\n| `{header['name']}` |", page)

    def test_the_chart_takes_values_and_flags(self):
        [values], flags = self.texts("values"), shlex.split(" ".join(self.texts("flags")))
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "values.yaml")
            file.write_text(values)
            made = kube.run("helm", "template", "picker", kube.CHART, "-f", file, *flags)
            self.assertIn("PersesDashboard", {it["kind"] for it in kube.objects(made)})

    def test_envoy_takes_parts_of_a_bootstrap(self):
        text = (kube.ROOT / "envoy/local/stop-iteration-header.yaml").read_text()
        left_open = {"WASM": str(kube.ROOT / "dist/llm-picker.wasm"), "ENDPOINTS": "[]", "PLUGIN_JSON": "'{}'", "INGEST_JSON": "'{\"ingest\": {}}'"}
        text = re.sub(r"\$\{(\w+)\}", lambda it: left_open.get(it[1], "0"), text)
        for part in self.texts("bootstrap"):
            bootstrap = yaml.safe_load(text)
            manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
            # What the page leaves as it stands in the bootstrap.
            own = yaml.safe_load("\n".join(line for line in part.splitlines() if "…" not in line))
            if "route" in own:
                [host] = manager["route_config"]["virtual_hosts"]
                self.assertEqual(host["routes"][-1]["route"].pop("cluster"), "models")
                host["routes"][-1]["route"] |= own["route"]
                plain = {"name": "plain", "type": "STATIC", "load_assignment": {"cluster_name": "plain", "endpoints": []}}
                bootstrap["static_resources"]["clusters"].append(plain)
            else:
                manager["tracing"] |= own["tracing"]
                bootstrap["static_resources"]["clusters"].append({
                    "name": "opentelemetry", "type": "STATIC", "load_assignment": {"cluster_name": "opentelemetry", "endpoints": []},
                })
            with tempfile.TemporaryDirectory() as folder:
                file = pathlib.Path(folder, "envoy.yaml")
                file.write_text(yaml.safe_dump(bootstrap))
                command = [ENVOY, "--mode", "validate", "--config-path", file]
                environment = os.environ | {"LLM_PICKER_SECRET": "0123456789abcdef"}
                said = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
                self.assertEqual(said.returncode, 0, part + said.stderr)


class Runs(unittest.TestCase):
    """Commands, in the order of their page, over one stack."""

    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        cls.folder = pathlib.Path(scratch.name)
        # As in a clone that was built.
        for name in "dist", "envoy", "target":
            (cls.folder / name).symlink_to(kube.ROOT / name)
        for name in "body.json", "request.json":
            (cls.folder / name).write_text(json.dumps(BODY))
        epp = blocks.find("docs/configuration.md", '{"plugins": [{"type": "queue-scorer"}')
        for name in "picker.json", "picker.yaml":
            (cls.folder / name).write_text(epp)
        cls.stack = Stack(blocks.find("docs/envoy.md", "./build.sh run\n"), cls.folder)
        cls.addClassCleanup(cls.stack.end)
        shutil.copy(cls.stack.folder / "secret", cls.folder / "secret")

    def bash(self, script, **environment):
        script = re.sub(r"(?<![\w/-])llm-scraper(?= )", str(SCRAPER), script)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, capture_output=True, text=True,
            timeout=PATIENCE, check=False, env=os.environ | environment,
        )
        self.assertEqual(done.returncode, 0, f"{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def test_over_servers_that_run(self):
        for page in "docs/envoy.md", "README.md":
            block = blocks.find(page, "./build.sh run --upstream")
            pods = ",".join(self.stack.pods[:2])
            stack = Stack(block.replace("10.0.0.5:8000,10.0.0.6:8000", pods), self.folder)
            try:
                self.assertIn(b"choices", chat(stack.gateway))
            finally:
                stack.end()

    def test_an_envoy_of_ones_own(self):
        own = [it.text for it in blocks.all_of() if blocks.LEDGER[blocks.entry(it)] == ("run", "an Envoy of one's own")]
        self.assertEqual(len(own), 4)
        *steps, looks = own
        ports = dict(zip(("8080", "9080", "9901", "9091"), free_ports(4)))
        # What the looks show is there once the gateway has taken a snapshot and the scraper has heard of a request.
        ready = (
            "for _ in $(seq 300); do curl -sf http://127.0.0.1:9091/readyz > /dev/null && break; sleep 0.2; done\n"
            "curl -sf http://127.0.0.1:8080/v1/completions -H 'content-type: application/json' -d '{\"prompt\": \"hi\"}' > /dev/null\n"
            "for _ in $(seq 300); do curl -s http://127.0.0.1:9091/metrics | grep -q ^llm_picker_picked_total && break; sleep 0.2; done\n"
        )
        script = "trap 'kill $(jobs -p)' EXIT\n" + "".join(steps) + ready + looks
        script = script.replace("10.0.0.5:8000 10.0.0.6:8000", " ".join(self.stack.pods[:2])).replace("MODEL", "tiny")
        script = re.sub(r"\b(8080|9080|9901|9091)\b", lambda it: str(ports[it[1]]), script)
        seen = self.bash(script, LLM_SCRAPER_LISTEN=f"127.0.0.1:{ports['9091']}")
        for line in r"^HTTP/1.1 200 OK", r"^x-served-by: 127\.0\.0\.1:", r"^llm_picker_picked_total", r"^llm_picker_envoy_snapshots_stored_total", r"^pool default: 2 endpoints", r"took a snapshot":
            self.assertRegex(seen, re.compile(line, re.MULTILINE | re.IGNORECASE))

    def test_one_look(self):
        page = "docs/scraper.md"
        block = blocks.find(page, "llm-scraper --endpoint 10.0.0.1:8000 --once")
        block = block.replace("10.0.0.1:8000", self.stack.pods[0]).replace("http://10.0.0.9:8080", self.stack.gateway)
        block = block.replace("10.0.0.5:9091", self.stack.page.removeprefix("http://"))
        seen = self.bash(block)
        self.assertIn(f'"{self.stack.pods[0]}"', seen)
        self.assertEqual(seen.count("picked "), 2, seen)
        self.assertIn("x-llm-picker-debug: ", seen)
        checked = blocks.find(page, "LLM_PICKER_SECRET=…").replace("…", "0123456789abcdef").rstrip() + " --check\n"
        self.assertIn("vllm.default.svc:8000", self.bash(checked))

    def test_one_answer_tells(self):
        block = blocks.find("docs/configuration.md", "export LLM_PICKER_SECRET=")
        block = block.replace("=…", "=$(cat secret)").replace("http://GATEWAY", self.stack.gateway)
        seen = self.bash(block)
        self.assertIn("x-llm-picker-decision: endpoint=", seen)
        self.assertIn("picked ", seen)

    def test_logs_are_turned_on_while_envoy_runs(self):
        for beginning, line in (
            ("curl -X POST 'http://127.0.0.1:9901/runtime_modify", r'^\{.*"pool": ?"default"'),
            ("curl -X POST 'http://127.0.0.1:9901/logging", r"request \S+: endpoint="),
        ):
            self.assertNotRegex(self.stack.envoy_log(), re.compile(line, re.MULTILINE))
            self.bash(blocks.find("docs/operations.md", beginning).replace("127.0.0.1:9901", self.stack.admin))

            def comes():
                chat(self.stack.gateway)
                return re.search(line, self.stack.envoy_log(), re.MULTILINE)

            until(comes)


if __name__ == "__main__":
    unittest.main()
